"""A search within minutes: planned, interrupted, gone on with, and from its supernet again."""

import dataclasses
import json
import re

import numpy as np
import pytest
from op_by_op import op_by_op

from mcuformer_tflm.data.image_data import from_npz, quantize_images
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import BudgetError, ConfigError, DataError
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
from mcuformer_tflm.search.space import SearchSpace
from mcuformer_tflm.search.trained_supernet import TrainedSupernet
from mcuformer_tflm.task import board_search, stages
from mcuformer_tflm.task.board_search import run_search, search_data, training_of
from mcuformer_tflm.task.minutes import Speed, mean_macs
from mcuformer_tflm.task.page.record import RunRecord
from mcuformer_tflm.task.run_file import SearchRun

pytestmark = pytest.mark.usefixtures("op_by_op")
SPACE = SearchSpace(
    image_size=8, channels=1, num_classes=3, patch_size=4, rank_ratio=(0.5, 0.9),
    embed_dim=(8, 12), depth=1, num_heads=(1, 2, 4), mlp_ratio=(1.0, 2.0, 3.0), head_dim=4,
)  # fmt: skip
TWO_KINDS = dataclasses.replace(SPACE, patch_size=(2, 4))
RESULTS = [
    "front.png", "memory_map.png", "model.tflite", "record.json", "report.html", "report.json",
    "run.toml", "sqnr.png",
    "supernet.npz",
]  # fmt: skip


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Three classes that a look at the mean tells apart, in order of their classes."""
    rng = np.random.default_rng(0)
    classes = np.sort(rng.integers(0, 3, 100)).astype(np.int32)
    images = (rng.integers(0, 60, (100, 8, 8)) + 80 * classes[:, None, None]).astype(np.uint8)
    path = tmp_path_factory.mktemp("data") / "shades.npz"
    np.savez(
        path, train_images=images, train_classes=classes, test_images=images[::3],
        test_classes=classes[::3], labels=np.array(["dark", "grey", "light"]),
    )  # fmt: skip
    return path


@pytest.fixture(scope="module", autouse=True)
def slow_machine():
    """A machine on which every step takes three seconds, and the search one minute."""
    monkeypatch = pytest.MonkeyPatch()
    for name in ("supernet_speed", "score_speed", "network_speed"):
        monkeypatch.setattr(board_search, name, lambda *_: Speed(3.0, 15.0, 2.0, mean_macs(SPACE)))

    def seconds(clock):
        return 70.0 if clock._path.with_name("plan.json").exists() else 10.0

    monkeypatch.setattr(board_search.Clock, "seconds", seconds)
    # Which takes a second to draw, and has tests of its own.
    monkeypatch.setattr(stages, "page", lambda *_: "")
    yield monkeypatch
    monkeypatch.undo()


def run_of(archive, **fields):
    given = {
        "board": "stm32f427", "minutes": 2, "batch_size": 16, "space": SPACE,
        "training": TrainingRecipe(distillation_weight=0.5),
        "train_supernet": "supernet" not in fields, **fields,
    }  # fmt: skip
    return SearchRun(str(archive), **given)


def quiet(label, done, total, info=""):
    pass


@pytest.fixture(scope="module")
def finished(archive, tmp_path_factory, slow_machine):
    out = tmp_path_factory.mktemp("whole")
    with op_by_op():
        run = run_of(archive)
        report = run_search(run, search_data(run), out, quiet)
    return out, report


def test_search_of_own_data_ends_with_a_measured_model_and_all_its_files(finished, archive):
    out, report = finished
    assert sorted(path.name for path in out.iterdir()) == RESULTS
    assert json.loads((out / "report.json").read_text())["minutes"] == report.minutes == 2
    data, interpreter = from_npz(archive), MicroInterpreter(out / "model.tflite")
    chosen = interpreter.run(quantize_images(data.test_images)).argmax(-1)
    assert (chosen == data.test_classes).mean() == report.int8_top1 > 0.5
    assert interpreter.labels == ("dark", "grey", "light")
    assert SPACE.contains(Architecture.from_json(report.architecture))
    assert report.left_out[0] == "a convolutional teacher"


def test_what_it_keeps_for_its_page_is_the_way_to_the_model(finished):
    out, report = finished
    record = RunRecord.read(out / "record.json")
    assert {len(visit.point) for visit in record.path.visits} == {2}
    assert record.path.space.rank_ratio == SPACE.rank_ratio
    assert [curve.name for curve in record.curves][:2] == [
        "the chosen supernet", "the chosen network in float",
    ]  # fmt: skip
    assert all(curve.steps == len(curve.losses) > 1 for curve in record.curves)
    chosen = record.scores.chosen
    assert record.scores.accuracy[chosen] == max(record.scores.accuracy)
    assert record.scores.costs["flash_bytes"][chosen] == pytest.approx(report.flash_bytes, rel=0.1)
    total = sum(operator.instructions for operator in record.operators)
    assert total == pytest.approx(report.instructions_estimated, rel=0.1)
    right = sum(record.confusion[index][index] for index in range(3))
    assert right / report.test_images == pytest.approx(report.int8_top1)
    assert len(record.pictures) == 20
    assert record.command == f"mcuformer search {out}/run.toml --out {out}"


def test_its_run_file_is_the_same_run_with_all_that_was_derived(finished, archive):
    out, _ = finished
    assert SearchRun.read(out / "run.toml") == run_of(archive)


def test_interrupted_search_goes_on_by_its_plans_to_the_same_model(
    finished, archive, tmp_path, monkeypatch
):
    def interrupted(at):
        def interrupt(label, done, total, info=""):
            if label == at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run_search(run, data, tmp_path, interrupt)

    run = run_of(archive)
    data = search_data(run)
    interrupted("subnets scored")
    with pytest.raises(ConfigError, match=r"run.minutes is 2.0 there and 3.0 here"):
        run_search(run_of(archive, minutes=3), data, tmp_path, quiet)
    # Another speed would plan other work; what was planned is not planned again.
    monkeypatch.setattr(board_search, "supernet_speed", pytest.fail)
    interrupted("classify in TFLM")
    monkeypatch.setattr(board_search, "network_speed", pytest.fail)
    report = run_search(run, data, tmp_path, quiet)
    assert (tmp_path / "model.tflite").read_bytes() == (finished[0] / "model.tflite").read_bytes()
    assert report == finished[1]


def test_where_minutes_are_many_a_teacher_comes_first_and_supernets_follow_it(
    archive, tmp_path, monkeypatch
):
    slower = Speed(37.5, 187.5, 25.0, mean_macs(SPACE))  # as many minutes more
    for name in ("supernet_speed", "network_speed"):
        monkeypatch.setattr(board_search, name, lambda *_: slower)
    given = []

    def evolve(*_, **options):
        given.append((options["teacher"].predict(np.zeros((1, 8, 8, 1)), verbose=0), _[3].recipe))
        raise KeyboardInterrupt

    monkeypatch.setattr(board_search, "evolve_space", evolve)
    run = run_of(archive, minutes=25, training=TrainingRecipe())
    data = search_data(run)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run_search(run, data, tmp_path, quiet)
        monkeypatch.setattr(board_search, "network_speed", pytest.fail)
    (logits, recipe), (again, _) = given
    assert logits.shape == (1, 3)
    assert np.array_equal(logits, again), "trained once, and kept"
    assert recipe.distillation_weight > 0


@pytest.fixture(scope="module")
def compared(archive, tmp_path_factory, slow_machine):
    out = tmp_path_factory.mktemp("networks")
    with op_by_op():
        run = run_of(archive, train_supernet=False, space=TWO_KINDS, minutes=4)
        report = run_search(run, search_data(run), out, quiet)
    return out, report


def test_search_without_a_supernet_ends_with_the_best_of_networks_trained_alone(compared):
    out, report = compared
    assert sorted(path.name for path in out.iterdir()) == [
        name for name in RESULTS if name not in ("front.png", "supernet.npz")
    ]
    record = RunRecord.read(out / "record.json")
    assert len(record.path.visits) == 2
    assert len({visit.point[0] for visit in record.path.visits}) == 2, "one of each patch size"
    best = max(record.path.visits, key=lambda visit: visit.score)
    chosen = Architecture.from_json(report.architecture)
    assert chosen.patch_size == TWO_KINDS.patch_size[best.point[0]]
    assert [curve.name for curve in record.curves][:2] == [
        "the chosen network among others", "the chosen network in float",
    ]  # fmt: skip
    assert record.scores is None
    assert not record.path.steps
    assert report.arena_bytes <= report.sram_budget_bytes
    assert report.int8_top1 > 0.5
    assert report.left_out[0] == "a convolutional teacher"


def test_comparison_of_networks_goes_on_where_it_was_interrupted(compared, archive, tmp_path):
    def interrupt(label, done, total, info=""):
        if label == "train the chosen subnet":
            raise KeyboardInterrupt

    run = run_of(archive, train_supernet=False, space=TWO_KINDS, minutes=4)
    data = search_data(run)
    with pytest.raises(KeyboardInterrupt):
        run_search(run, data, tmp_path, interrupt)
    report = run_search(run, data, tmp_path, quiet)
    assert (tmp_path / "model.tflite").read_bytes() == (compared[0] / "model.tflite").read_bytes()
    assert report == compared[1]


def test_its_supernet_serves_another_budget_without_another_search(finished, archive, tmp_path):
    out, _ = finished
    supernet = TrainedSupernet.read(out / "supernet.npz")
    assert supernet.held_out == 10
    assert supernet.data == str(archive)
    run = SearchRun(
        None, None, arena_kib=8, flash_kib=64, minutes=2, batch_size=16,
        supernet=str(out / "supernet.npz"),
    )  # fmt: skip
    data = search_data(run, supernet=supernet)
    assert data.held_out == 10
    report = run_search(run, data, tmp_path, quiet, supernet=supernet)
    assert report.supernet == str(out / "supernet.npz")
    assert report.arena_bytes <= report.sram_budget_bytes == 8 * 1024
    assert supernet.space.contains(Architecture.from_json(report.architecture))
    assert sorted(path.name for path in tmp_path.iterdir()) == RESULTS[:-1]
    assert SearchRun.read(tmp_path / "run.toml") == run


def test_a_subnet_is_fine_tuned_on_images_changed_as_its_supernets_were(finished):
    supernet = TrainedSupernet.read(finished[0] / "supernet.npz")
    recipe = dataclasses.asdict(TrainingRecipe(flip_probability=0.5, crop_padding=1))
    for told in ({"training": recipe}, {"training": {"epochs": 3, "recipe": recipe}}):
        tuning = training_of(
            SearchRun(supernet="x", board="y"), dataclasses.replace(supernet, recipe=told)
        )
        assert (tuning.flip_probability, tuning.crop_padding) == (0.5, 1)
        assert tuning.distillation_weight > 0


def test_supernet_of_other_data_is_refused_by_what_differs(finished, tmp_path):
    supernet = TrainedSupernet.read(finished[0] / "supernet.npz")
    rng = np.random.default_rng(0)
    images, classes = rng.integers(0, 256, (40, 8, 8), np.uint8), rng.integers(0, 3, 40)
    path = tmp_path / "other.npz"
    for given, labels, told in (
        (images, ["a", "b", "c"], r"whose classes are dark, grey, light, and these are a, b, c"),
        (images[:, :4], ["dark", "grey", "light"], r"images of \[8, 8, 1\] .* these are \[4, 8, 1"),
    ):
        np.savez(
            path, train_images=given, train_classes=classes, test_images=given,
            test_classes=classes, labels=np.array(labels),
        )  # fmt: skip
        with pytest.raises(DataError, match=told):
            search_data(run_of(path, supernet="s", space=None, batch_size=8), supernet=supernet)


def test_too_few_minutes_are_refused_before_anything_is_trained(finished, archive, tmp_path):
    for field, supernet in (("space", None), ("supernet", finished[0] / "supernet.npz")):
        found = None if supernet is None else TrainedSupernet.read(supernet)
        run = run_of(archive, minutes=0.1, space=None, supernet=supernet and str(supernet))
        with pytest.raises(ConfigError, match=r"minutes is 0.1; an epoch of \d batches"):
            run_search(run, search_data(run, supernet=found), tmp_path / field, quiet,
                       supernet=found)  # fmt: skip
    # More of them are not another run, since nothing of that one was kept.
    with pytest.raises(ConfigError, match=r"minutes is 0.2; an epoch of \d batches"):
        run_search(dataclasses.replace(run, minutes=0.2), search_data(run, supernet=found),
                   tmp_path / field, quiet, supernet=found)  # fmt: skip


def test_budget_that_no_subnet_meets_tells_each_limit_that_the_nearest_breaks(archive, tmp_path):
    run = run_of(archive, arena_kib=1, flash_kib=2, ms=1e-4)
    with pytest.raises(BudgetError) as no:
        run_search(run, search_data(run), tmp_path, quiet)
    assert "The nearest (patch_size 4, rank_ratio 0.5" in str(no.value)
    assert re.search(r"arena by .* bytes .*flash by .* bytes .* and time by .* ms", str(no.value))
    assert not list(tmp_path.iterdir())
