"""The tuners as keras-tuner users know them, and what they refuse."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import tiny_search
from logged_hparams import hparams_of
from op_by_op import op_by_op
from tiny_search import BUDGET, SPACE, data, search_spaces, space_tuner

from mcuformer_tflm.keras_models.exceptions import (
    BudgetError,
    CheckpointError,
    ConfigError,
    DataError,
    DivergedError,
)
from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.batches import batches
from mcuformer_tflm.keras_models.training.checkpoint import save_weights
from mcuformer_tflm.keras_models.training.inheritance import inherit_weights
from mcuformer_tflm.keras_models.training.origin import weights_origin
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.training.trainers import SupernetTrainer, predict
from mcuformer_tflm.quantize.quantize import quantize
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.cost.fit import Fit
from mcuformer_tflm.search.cost.fitting_subnets import FittingSubnets
from mcuformer_tflm.search.cost.memory import num_macs
from mcuformer_tflm.search.oracles.hyperparameters import architecture_from_values
from mcuformer_tflm.search.oracles.space_evolution import SpaceEvolution
from mcuformer_tflm.search.oracles.space_halving import SpaceHalving
from mcuformer_tflm.search.oracles.subnet_baselines import RandomSubnets
from mcuformer_tflm.search.space import FASHION_MNIST_WIDE_SPACE
from mcuformer_tflm.search.tuners.scoring import ScoreSettings, fitting_share
from mcuformer_tflm.search.tuners.subnet_tuner import SubnetTuner
from mcuformer_tflm.search.tuners.supernet_tuner import SupernetTuner

pytestmark = pytest.mark.usefixtures("op_by_op")


class _Seen(tf_keras.callbacks.Callback):
    """Keeps what it is told on the class: each trial gets a copy of its own."""

    epochs: list = []  # noqa: RUF012
    batches = 0

    def on_train_batch_end(self, batch, logs=None):
        type(self).batches += 1

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append((epoch, sorted(logs)))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    told = []
    tuner = space_tuner(
        folder, starts=1, steps=1, epochs=2,
        report=lambda label, done, total, info="": told.append((label, done, total, info)),
    )  # fmt: skip
    images, classes = data()
    with op_by_op():
        tuner.search(
            batches(images, classes, 16), validation_data=(images[:48], classes[:48]),
            callbacks=[_Seen()],
        )  # fmt: skip
    return folder, tuner, told


def test_best_models_and_hyperparameters_are_those_of_the_best_space(finished):
    _, tuner, _ = finished
    best = tuner.oracle.best_space()
    values = tuner.get_best_hyperparameters()[0].values
    assert (values["patch_size"], values["rank_ratio"]) == (4, best.rank_ratio[0])
    model = tuner.get_best_models()[0]
    assert isinstance(model, Supernet)
    assert model.largest == best.largest()
    supernet, epochs = tuner.load_supernet(best)
    assert epochs == 2
    for one, other in zip(model.get_weights(), supernet.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_results_summary_prints_score_and_values(finished, capsys):
    _, tuner, _ = finished
    tuner.results_summary()
    printed = capsys.readouterr().out
    assert "Results summary" in printed
    assert f"Score: {tuner.oracle.history[0].score}" in printed


def test_score_is_accuracy_plus_eta_times_the_share_that_fits(finished):
    _, tuner, _ = finished
    metrics = tuner.oracle.get_best_trials()[0].metrics
    accuracy, share, margin = (
        metrics.get_best_value(name) for name in ("accuracy", "share_that_fits", "median_margin")
    )
    assert tuner.oracle.history[0].score == pytest.approx(accuracy + 0.1 * share)
    assert share == 1
    assert 0.9 < margin < 1


def test_callbacks_see_every_batch_and_epoch(finished):
    names = ["loss", "val_accuracy"]
    assert _Seen.epochs == [(0, names), (1, names)]
    assert _Seen.batches == 2 * (96 // 16)


def test_tensorboard_logs_hold_loss_and_score(finished):
    folder, _, _ = finished
    tags = set()
    for path in (folder / "spaces" / "logs").rglob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            tags |= {value.tag for value in event.summary.value}
    assert {"loss", "val_accuracy", "score", "accuracy", "median_margin"} <= tags


def test_hparams_of_a_trial_lie_beside_its_scalars(finished):
    folder, tuner, _ = finished
    (trial,) = tuner.oracle.trials.values()
    logged = hparams_of(folder / "spaces" / "logs")
    assert logged == {trial.trial_id: trial.hyperparameters.values}


def test_search_space_summary_names_every_factor(finished, capsys):
    tuner = finished[1]
    tuner.search_space_summary()
    printed = capsys.readouterr().out
    assert "Search space summary" in printed
    for factor in ("patch_size (Choice)", "rank_ratio (Choice)", "epochs (Int)"):
        assert factor in printed
    for value in (*SPACE.patch_size, *SPACE.rank_ratio):
        assert str(value) in printed


def test_a_project_is_reloaded_by_another_tuner_and_by_hand(finished):
    folder, tuner, _ = finished
    other = space_tuner(folder, starts=1, steps=1, epochs=2)
    other.reload()
    assert other.oracle.history == tuner.oracle.history
    best = [t.get_best_hyperparameters()[0].values for t in (tuner, other)]
    assert best[0] == best[1]
    weights = [t.get_best_models()[0].get_weights() for t in (tuner, other)]
    assert all(map(np.array_equal, *weights))


def test_progress_tells_accuracy_budget_and_end(finished):
    _, _, told = finished
    assert any("accuracy" in info for label, _, _, info in told if label.startswith("train"))
    assert told[0][0] == "spaces scored"
    assert "1,000,000 bytes of arena" in told[0][3]
    assert "roomy" in told[-1][3]
    assert told[-1][1:3] == (1, 1)


def test_finished_search_is_not_repeated(finished):
    folder, tuner, _ = finished
    again = space_tuner(folder, starts=1, steps=1, epochs=2)
    search_spaces(again)
    assert again.oracle.history == tuner.oracle.history


def test_overwrite_starts_anew(finished, tmp_path):
    folder, _, _ = finished
    shutil.copytree(folder, tmp_path / "copy")
    tuner = space_tuner(tmp_path / "copy", starts=1, steps=1, epochs=2, overwrite=True)
    assert tuner.oracle.history == []


def test_chosen_supernet_trains_on_and_resumes(finished, tmp_path):
    folder, _, _ = finished
    shutil.copytree(folder, tmp_path / "copy")
    tuner = space_tuner(tmp_path / "copy", starts=1, steps=1, epochs=2)
    images, classes = data()
    best = tuner.oracle.best_space()
    arguments = best, batches(images, classes, 16), (images, classes), 1, tiny_search.quiet
    trained = tuner.train_further(*arguments)
    before, _ = tuner.load_supernet(best)
    assert any(
        (one != other).any()
        for one, other in zip(trained.get_weights(), before.get_weights(), strict=True)
    )
    again = tuner.train_further(*arguments)
    for one, other in zip(trained.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(CheckpointError, match=r"train\.seed is 0 there and 3 here"):
        tuner.train_further(best, batches(images, classes, 16, seed=3), *arguments[2:])


def test_supernet_is_trained_under_a_given_strategy(tmp_path):
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    tuner = space_tuner(tmp_path, starts=1, steps=1, epochs=1, strategy=strategy)
    search_spaces(tuner)
    assert len(tuner.oracle.history) == 1


def test_subnet_tuner_returns_models_of_the_best_subnets(finished, tmp_path, capsys):
    _, tuner, _ = finished
    best = tuner.oracle.best_space()
    supernet, _ = tuner.load_supernet(best)
    images, classes = data()

    def make(weights):
        oracle = RandomSubnets(best, BUDGET, subnets=3)
        return SubnetTuner(oracle, weights, directory=tmp_path, report=tiny_search.quiet)

    subnets = make(supernet)
    subnets.search(validation_data=(images, classes))
    model = subnets.get_best_models()[0]
    hits = np.argmax(model.predict(images, verbose=0), -1) == classes
    assert hits.mean() == pytest.approx(subnets.oracle.get_best_trials()[0].score)
    assert model.architecture == subnets.oracle.best_architecture()
    logged = hparams_of(tmp_path / "search" / "logs")
    assert logged == {
        trial.trial_id: trial.hyperparameters.values for trial in subnets.oracle.trials.values()
    }
    subnets.search_space_summary()
    subnets.results_summary(1)
    printed = capsys.readouterr().out
    assert "embed_dim (Choice)" in printed
    assert f"Score: {max(subnets.oracle.scores.values())}" in printed
    with pytest.raises(ConfigError, match=r"another search: weights.*overwrite=True"):
        make(Supernet(best.largest()))


def test_median_margin_tells_a_direction_where_the_share_is_flat():
    low, high = (
        fitting_share(SPACE.at(4, rank), Fit(BUDGET), 50, [0]) for rank in SPACE.rank_ratio
    )
    assert low[0] == high[0] == 1
    assert low[1] > high[1]


def test_class_counts_that_do_not_match_are_refused(tmp_path):
    images, classes = data()
    tuner = space_tuner(tmp_path)
    with pytest.raises(DataError, match="0 to 3; allowed are 0 to 2"):
        tuner.search(batches(images, classes, 16), validation_data=(images, classes * 3 // 2))
    with pytest.raises(DataError, match="10 classes, the network 3"):
        tuner.search(
            batches(images, classes, 16, num_classes=10), validation_data=(images, classes)
        )


def test_images_of_another_size_are_refused(tmp_path):
    images, classes = data()
    tuner = space_tuner(tmp_path)
    with pytest.raises(
        DataError, match=r"validation images .* \(n, 8, 4, 1\), the network takes \(n, 8, 8, 1\)"
    ):
        tuner.search(batches(images, classes, 16), validation_data=(images[:, :, :4], classes))
    with pytest.raises(DataError, match=r"The images are of shape \(n, 8, 4, 1\)"):
        tuner.search(batches(images[:, :, :4], classes, 16), validation_data=(images, classes))


class Spoil(tf_keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.model.head.bias.assign(np.full(self.model.head.bias.shape, np.nan))


def test_nan_loss_stops_the_search_and_keeps_the_checkpoint(finished, tmp_path):
    folder, _, _ = finished
    shutil.copytree(folder, tmp_path / "copy")
    images, classes = data()
    tuner = space_tuner(tmp_path / "fresh", starts=1, steps=2, epochs=1, space=SPACE.at(4, 0.5))
    with pytest.raises(DivergedError, match="No checkpoint was saved"):
        tuner.search(
            batches(images, classes, 16), validation_data=(images, classes), callbacks=[Spoil()]
        )
    assert tuner.oracle.history == []


def test_supernets_of_both_stems_are_trained_kept_apart_and_gone_on_with(tmp_path):
    both = dataclasses.replace(SPACE, rank_ratio=0.5, stem=("patch", "conv"))
    told = []

    def searched(steps):
        tuner = space_tuner(
            tmp_path, starts=2, steps=steps, epochs=1, space=both,
            report=lambda label, done, total, info="": told.append(label),
        )  # fmt: skip
        search_spaces(tuner)
        return tuner

    tuner = searched(1)
    names = {path.name for path in (tmp_path / "spaces" / "supernets").glob("*.npz")}
    assert names == {"patch4-rank0.5.npz", "patch4-rank0.5-conv.npz"}
    assert {"train patch 4, rank 0.5, epoch 1", "train patch 4, rank 0.5, stem conv, epoch 1"} < {
        *told
    }
    for stem in ("patch", "conv"):
        supernet, epochs = tuner.load_supernet(both.at(4, 0.5, stem=stem))
        assert (supernet.largest.stem, epochs) == (stem, 1)
    best = tuner.oracle.best_space()
    assert tuner.get_best_models(1)[0].largest.stem == best.stem[0]
    told.clear()
    searched(1)
    assert not any(label.startswith("train") for label in told), "all of it was done"


def test_checkpoint_of_another_space_is_refused(finished, tmp_path):
    folder, _, _ = finished
    shutil.copytree(folder, tmp_path / "copy")
    tuner = space_tuner(tmp_path / "copy", starts=1, steps=1, epochs=2)
    best = tuner.oracle.best_space()
    path = next((tmp_path / "copy" / "spaces" / "supernets").glob("*.npz"))
    foreign = Supernet(SPACE.at(4, 1.0 if best.rank_ratio[0] == 0.5 else 0.5).largest())
    save_weights(foreign, path, epochs=2)
    with pytest.raises(CheckpointError, match="another network"):
        tuner.load_supernet(best)


def test_project_with_other_settings_is_refused(finished):
    folder, _, _ = finished
    oracle = SpaceEvolution(SPACE, 1, steps=1, epochs=2)
    with pytest.raises(ConfigError, match=r"learning_rate is 0.002 there and 0.1 here"):
        SupernetTuner(
            oracle, BUDGET, settings=ScoreSettings(accuracy_samples=2, fit_samples=10),
            recipe=TrainingRecipe(learning_rate=0.1), directory=folder, project_name="spaces",
        )  # fmt: skip


class _Begun(tf_keras.callbacks.Callback):
    """Keeps the first weights, and ends the search before anything is trained."""

    def on_train_begin(self, logs=None):
        type(self).supernet = self.model
        raise KeyboardInterrupt


def first_weights(folder, **options):
    """Returns the supernet that a search is about to train."""
    space = dataclasses.replace(SPACE.at(4, 1.0), relative_position=True)
    tuner = space_tuner(folder, starts=1, steps=1, epochs=1, space=space, **options)
    images, classes = data()
    with pytest.raises(KeyboardInterrupt):
        tuner.search(
            batches(images, classes, 16), validation_data=(images[:48], classes[:48]),
            callbacks=[_Begun()],
        )  # fmt: skip
    return _Begun.supernet


def test_attention_of_a_supernet_starts_with_structure_where_it_shall(tmp_path):
    structured, same, random = (
        first_weights(tmp_path / str(run), **options)
        for run, options in enumerate(({"start": "structured"}, {"start": "structured"}, {}))
    )
    layers, others = structured.blocks[0], random.blocks[0]
    assert np.ptp(layers["attention"].relative_bias) > 1
    assert not np.any(others["attention"].relative_bias)
    for one, other in zip(structured.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    # Of all other layers the first weights are the same.
    np.testing.assert_array_equal(layers["fc1_u"].kernel, others["fc1_u"].kernel)
    assert np.any(layers["qkv"].kernel != others["qkv"].kernel)


def test_project_of_before_there_was_a_choice_is_gone_on_with_as_it_was_begun(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "copy")
    path = tmp_path / "copy" / "spaces" / "tuner0.json"
    state = json.loads(path.read_text())
    del state["configuration"]["start"], state["configuration"]["teacher"]
    path.write_text(json.dumps(state))
    options = {"starts": 1, "steps": 1, "epochs": 2}
    space_tuner(tmp_path / "copy", **options)
    with pytest.raises(ConfigError, match="start is random there and structured here"):
        space_tuner(tmp_path / "copy", start="structured", **options)


def test_new_pair_begins_with_what_the_nearest_one_has_learnt(tmp_path):
    told = []

    class Keep(tf_keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            told.append((self.model.largest.rank_ratio, self.model.get_weights()))

        def on_epoch_begin(self, epoch, logs=None):
            told.append(epoch)

    tuner = space_tuner(tmp_path, starts=1, steps=2, epochs=1)
    images, classes = data()
    tuner.search(
        batches(images, classes, 16),
        validation_data=(images[:48], classes[:48]),
        callbacks=[Keep()],
    )
    (first, _), before, (second, begun), after = told
    assert (before, after, {first, second}) == (0, 1, set(SPACE.rank_ratio))
    source, epochs = tuner.load_supernet(SPACE.at(4, first))
    heir = tuner._fresh(SPACE.at(4, second))
    inherit_weights(heir, source)
    assert epochs == 1
    for one, other in zip(begun, heir.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    path = tmp_path / "spaces" / "supernets" / f"patch4-rank{second}.npz"
    assert json.loads(str(np.load(path)["state"]))["origin"] == {"source": f"patch 4, rank {first}"}


def small_teacher(seed=0, num_classes=3):
    tf_keras.utils.set_random_seed(seed)
    network = dataclasses.replace(SPACE.smallest(), num_classes=num_classes)
    return build_subnet(network)


def test_supernets_follow_the_teacher_and_the_project_keeps_which(tmp_path):
    recipe = TrainingRecipe(distillation_weight=0.5)
    options = {"starts": 1, "steps": 1, "epochs": 1, "recipe": recipe}
    teacher = small_teacher()
    search_spaces(space_tuner(tmp_path, teacher=teacher, **options))
    (path,) = (tmp_path / "spaces" / "supernets").glob("*.npz")
    trained = json.loads(str(np.load(path)["state"]))
    assert trained["teacher"] == weights_origin(teacher)
    with pytest.raises(ConfigError, match=r"another search: teacher is .* there and .* here"):
        space_tuner(tmp_path, teacher=small_teacher(1), **options)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"teacher": 1}, "distillation_weight is 0, but there is a teacher"),
        ({"recipe": TrainingRecipe(distillation_weight=0.5)}, "there is no teacher"),
        ({"teacher": 4, "recipe": TrainingRecipe(distillation_weight=0.5)}, "tells 4 classes"),
    ],
)
def test_teacher_and_recipe_that_do_not_go_together_are_refused_at_once(tmp_path, options, told):
    if "teacher" in options:
        options = options | {"teacher": small_teacher(num_classes=max(3, options["teacher"]))}
    with pytest.raises(ConfigError, match=told):
        space_tuner(tmp_path, **options)


def test_directory_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file.* cannot be written \(Not a directory\)"):
        space_tuner(tmp_path / "file")


def test_worker_may_not_overwrite_the_chiefs_project(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "1")
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker-0")
    with pytest.raises(ConfigError, match="would remove the chief's project"):
        space_tuner(tmp_path, overwrite=True)


def test_budget_that_nothing_fits_is_refused_before_training(tmp_path):
    with pytest.raises(BudgetError, match="exceeds arena by"):
        SupernetTuner(SpaceEvolution(SPACE), Budget(100, 10**6, "tiny"), directory=tmp_path)


@pytest.mark.usefixtures("op_by_op")
def test_halving_trains_subnets_that_fit_alone_each_rung_longer(tmp_path, monkeypatch):
    space = dataclasses.replace(SPACE, rank_ratio=(0.5, 0.75, 1.0))
    least = max(Fit(BUDGET).flash_bytes(pair.smallest()) for pair in space.pairs())
    budget = Budget(10**6, least, "tight")
    assert not all(budget.fits(pair.largest()) for pair in space.pairs())
    drawn = []
    sample = FittingSubnets.sample
    monkeypatch.setattr(
        FittingSubnets, "sample", lambda self, rng: drawn.append(sample(self, rng)) or drawn[-1]
    )
    oracle = SpaceHalving(space, 3, epochs=1)
    tuner = SupernetTuner(
        oracle, budget, subnets="fitting",
        settings=ScoreSettings(accuracy_samples=1, fit_samples=5), directory=tmp_path,
        report=tiny_search.quiet,
    )  # fmt: skip
    search_spaces(tuner)
    assert [visit.epochs for visit in oracle.history] == [1, 1, 1, 3, 3]
    # 6 batches an epoch, of which there are 3 and then 4, and a network for each score.
    assert len(drawn) == 6 * (3 + 4) + 5
    assert all(map(budget.fits, drawn))
    assert tuner.load_supernet(oracle.best_space())[1] == 3


@pytest.mark.usefixtures("op_by_op")
def test_pairs_that_one_network_stands_for_train_and_score_it_alone(tmp_path, monkeypatch):
    space = dataclasses.replace(SPACE, rank_ratio=(0.5, 0.75, 1.0))
    least = max(Fit(BUDGET).flash_bytes(pair.smallest()) for pair in space.pairs())
    budget = Budget(10**6, least, "tight")
    trained, scored = [], []
    train, accuracy = SupernetTrainer.train, SupernetTrainer.accuracy
    monkeypatch.setattr(
        SupernetTrainer, "train",
        lambda self, data, subnets, **options: (
            trained.append(subnets) or train(self, data, subnets, **options)
        ),
    )  # fmt: skip
    monkeypatch.setattr(
        SupernetTrainer, "accuracy",
        lambda self, network, *data: scored.append(network) or accuracy(self, network, *data),
    )  # fmt: skip
    oracle = SpaceHalving(space, 3, epochs=1, reduction=3)
    tuner = SupernetTuner(
        oracle, budget, subnets="one", settings=ScoreSettings(accuracy_samples=5, fit_samples=5),
        directory=tmp_path, report=tiny_search.quiet,
    )  # fmt: skip
    search_spaces(tuner)
    pairs = [space.at(4, space.rank_ratio[visit.point[1]]) for visit in oracle.history]
    networks = [tuner.one_network(pair) for pair in pairs]
    assert all(map(budget.fits, networks))
    assert [one.architecture for one in trained] == networks
    # After its only epoch, and for A.
    assert scored == [network for network in networks for _ in range(2)]
    for trial in oracle.trials.values():
        assert trial.score == trial.metrics.get_best_value("accuracy")
    trained.clear()
    images, classes = data()
    tuner.train_further(
        oracle.best_space(), batches(images, classes, 16), (images, classes), 1, tiny_search.quiet
    )
    assert [type(subnets) for subnets in trained] == [FittingSubnets]


def test_the_largest_drawn_fits_and_computes_most_of_as_many():
    fit = Fit(Budget(16 * 1024, 128_000, "16 KiB"))
    subnets = FittingSubnets(FASHION_MNIST_WIDE_SPACE.at(8, 0.95, stem="conv"), fit)
    rng = np.random.default_rng(3)
    drawn = [subnets.sample(rng) for _ in range(20)]
    chosen = subnets.largest_drawn(np.random.default_rng(3))
    assert fit(chosen)
    assert num_macs(chosen) == max(map(num_macs, drawn)) > min(map(num_macs, drawn))


@pytest.mark.parametrize("update", ["ascend", "paper"])
def test_pair_without_a_subnet_that_fits_is_never_trained(tmp_path, monkeypatch, update):
    space = dataclasses.replace(SPACE, patch_size=(1, 4))
    needed = [Fit(BUDGET).memory_bytes(pair.smallest()) for pair in space.pairs()]
    budget = Budget(min(needed[:2]) - 1, 10**6, "small")
    assert max(needed[2:]) <= budget.arena, "patch 4 fits, patch 1 does not"

    def measure(self, trial, report, **arguments):
        values = trial.hyperparameters.values
        names = ("score", "accuracy", "share_that_fits", "median_margin")
        return dict.fromkeys(names, values["rank_ratio"] / values["epochs"])

    monkeypatch.setattr(SupernetTuner, "measure", measure)
    oracle = SpaceEvolution(space, starts=3, steps=4, epochs=1, update=update)
    tuner = SupernetTuner(oracle, budget, directory=tmp_path, report=tiny_search.quiet)
    search_spaces(tuner)
    visited = {visit.point[0] for visit in oracle.history}
    assert visited == {1}, "patch 4 alone"
    assert len(oracle.history) == 3 * 4
    assert oracle.best_space(lambda found: budget.fits(found.smallest())).patch_size == (4,)


def test_subnets_that_the_supernet_does_not_hold_are_refused_before_any_is_scored(tmp_path):
    pair = SPACE.at(4, 0.5)
    for space, message in (
        (SPACE, r"rank_ratio is 1\.0, but this supernet was built with 0\.5"),
        (dataclasses.replace(pair, num_classes=4), "num_classes is 4"),
        (dataclasses.replace(pair, depth=(1, 2)), "depth 2 and head_dim 4 exceed"),
        (dataclasses.replace(pair, num_heads=(1, 2, 3)), "num_heads"),
    ):
        oracle = RandomSubnets(space, BUDGET, subnets=2)
        with pytest.raises(ConfigError, match=message):
            SubnetTuner(oracle, Supernet(pair.largest()), directory=tmp_path)


def test_subnets_of_a_supernet_of_16_bits_are_scored(tmp_path):
    pair = SPACE.at(4, 0.5)
    oracle = RandomSubnets(pair, BUDGET, subnets=1)
    supernet = Supernet(pair.largest(), precision="mixed_bfloat16")
    tuner = SubnetTuner(oracle, supernet, directory=tmp_path, report=tiny_search.quiet)
    tuner.search(validation_data=data(8))
    assert len(oracle.scores) == 1


@pytest.mark.parametrize("field", ["accuracy_samples", "fit_samples", "eta"])
def test_bad_score_settings_are_refused_by_name(field):
    with pytest.raises(ConfigError, match=field):
        ScoreSettings(**{field: -1})


def test_subnets_can_be_scored_as_integers_by_calibration_alone(tmp_path):
    pair = dataclasses.replace(SPACE.at(4, 1.0), embed_dim=(8,), num_heads=(2,))
    supernet, (images, classes) = Supernet(pair.largest()), data(60)
    # Coarse enough for rounding to change what some images are taken for.
    coarse = QuantizationConfig(4, integer_operators=False)
    budget = Budget(10**6, 10**6, "roomy", quantization=QuantizationConfig(4))
    told = []

    def search(folder, **options):
        oracle = RandomSubnets(pair, budget, subnets=2)
        tuner = SubnetTuner(
            oracle, supernet, directory=tmp_path, project_name=folder,
            report=lambda label, done, total, info="": told.append(info), **options,
        )  # fmt: skip
        tuner.search(validation_data=(images, classes))
        return tuner

    tuner = search("coarse", quantization=coarse, calibration_images=40)
    for trial in tuner.oracle.get_best_trials(2):
        subnet = tuner.load_model(trial)
        quantized = quantize(subnet, images, epochs=0, calibration_images=40, config=coarse)
        for metric, network in (("accuracy", quantized), ("float_accuracy", subnet)):
            right = np.mean(np.argmax(predict(network, images), -1) == classes)
            assert trial.metrics.get_best_value(metric) == pytest.approx(right)
        assert trial.score == trial.metrics.get_best_value("accuracy")
    best = tuner.get_best_hyperparameters()[0].values
    assert architecture_from_values(best, pair) == tuner.oracle.best_architecture()
    assert "best: quantized accuracy" in told[-1]
    plain = search("plain").oracle.get_best_trials(1)[0]
    assert not plain.metrics.exists("float_accuracy")
    assert plain.metrics.exists("memory_bytes")
    assert not plain.metrics.exists("milliseconds"), "no board tells them"
    with pytest.raises(ConfigError, match=r"weight_bits 8, but the oracle's budget .* of 4"):
        search("other", quantization=QuantizationConfig())
    with pytest.raises(ConfigError, match="quantization is"):
        search("coarse")
