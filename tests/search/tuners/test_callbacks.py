"""Keras' own callbacks in a search: heeded, or refused by name before any training."""

import csv
import threading

import keras
import numpy as np
import pytest
import tf_keras
from logged_hparams import hparams_of
from op_by_op import op_by_op
from tiny_search import SPACE, data, space_tuner

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.batches import batches
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.training.trainers import SupernetTrainer, make_optimizer
from mcuformer_tflm.search.tuners.callbacks import TrialCallbacks, checked_callbacks

pytestmark = pytest.mark.usefixtures("op_by_op")
BOTH = pytest.mark.parametrize(
    "kind", [tf_keras.callbacks, keras.callbacks], ids=["tf_keras", "keras"]
)
EPOCHS, STEPS = 2, 6


class Recorder(tf_keras.callbacks.Callback):
    """Keeps on the class what it sees: each trial gets a copy of its own."""

    rates: list = []  # noqa: RUF012
    losses: list = []  # noqa: RUF012

    def on_train_batch_end(self, batch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))
        if batch == STEPS - 1:
            self.losses.append(logs["loss"])


def search(folder, callbacks):
    tuner = space_tuner(folder, starts=1, steps=1, epochs=EPOCHS)
    images, classes = data()
    with op_by_op():
        tuner.search(
            batches(images, classes, len(images) // STEPS), validation_data=(images, classes),
            callbacks=callbacks,
        )  # fmt: skip
    return tuner.load_supernet(tuner.oracle.best_space())[0]


@pytest.fixture(scope="module")
def heeded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("heeded")
    supernet = search(
        folder,
        [
            Recorder(),
            tf_keras.callbacks.CSVLogger(folder / "tf_keras.csv"),
            keras.callbacks.CSVLogger(folder / "keras.csv"),
            tf_keras.callbacks.ModelCheckpoint(
                str(folder / "{epoch}.weights.h5"), save_weights_only=True
            ),
            tf_keras.callbacks.TensorBoard(folder / "board"),
        ],
    )
    return folder, supernet


def test_loggers_of_both_keras_write_each_epochs_loss_and_accuracy(heeded):
    folder, _ = heeded
    rows = []
    for name in ("tf_keras.csv", "keras.csv"):
        with open(folder / name) as file:
            rows.append(list(csv.DictReader(file)))
    assert rows[0] == rows[1]
    assert [float(row["loss"]) for row in rows[0]] == pytest.approx(Recorder.losses)
    assert [row["epoch"] for row in rows[0]] == ["0", "1"]
    assert all(0 <= float(row["val_accuracy"]) <= 1 for row in rows[0])


def test_learning_rates_that_callbacks_read_are_the_recipes(heeded):
    schedule = make_optimizer(TrainingRecipe(), EPOCHS * STEPS)._learning_rate
    wanted = [float(schedule(step)) for step in range(1, 1 + EPOCHS * STEPS)]
    read = np.asarray(Recorder.rates)
    # tf_keras tells the rate of the step that was made, not of the next one.
    assert read[1:] == pytest.approx(wanted[:-1])


def test_weights_that_a_checkpoint_keeps_are_the_supernets(heeded):
    folder, supernet = heeded
    other = Supernet(supernet.largest)
    other.load_weights(folder / f"{EPOCHS}.weights.h5")
    for one, two in zip(supernet.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_tensorboard_gets_a_folder_for_each_trial(heeded):
    folder, _ = heeded
    trials = [path.name for path in (folder / "spaces").glob("trial_*")]
    written = [f"trial_{path.name}" for path in (folder / "board").iterdir()]
    assert written == trials
    assert list((folder / "board").rglob("events.*"))


def test_callbacks_change_nothing_of_the_training(heeded, tmp_path):
    _, supernet = heeded
    for one, two in zip(supernet.get_weights(), search(tmp_path, None).get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def patience(kind):
    class Patience(kind.EarlyStopping):
        pass

    return Patience("val_accuracy")


def stuck(kind):
    callback = kind.History()
    callback.lock = threading.Lock()
    return callback


REFUSED = {
    "EarlyStopping": (lambda kind: kind.EarlyStopping("val_accuracy"), "equal epochs"),
    "Patience": (patience, "equal epochs"),
    "LearningRateScheduler": (
        lambda kind: kind.LearningRateScheduler(lambda epoch: 0.1),
        "learning_rate, final_learning_rate and warmup_share of TrainingRecipe",
    ),
    "ReduceLROnPlateau": (lambda kind: kind.ReduceLROnPlateau("loss"), "TrainingRecipe"),
    "BackupAndRestore": (lambda kind: kind.BackupAndRestore("a.weights.h5"), "the search itself"),
    "ModelCheckpoint": (lambda kind: kind.ModelCheckpoint("a.keras"), "save_weights_only=True"),
    "History": (stuck, "cannot be copied"),
}


@BOTH
@pytest.mark.parametrize("name", REFUSED)
def test_callback_that_cannot_be_heeded_is_refused_by_name_before_training(tmp_path, kind, name):
    make, reason = REFUSED[name]
    tuner = space_tuner(tmp_path)
    images, classes = data()
    with pytest.raises(ConfigError, match=rf"callbacks has {name}, which .*{reason}"):
        tuner.search(
            batches(images, classes, 16), validation_data=(images, classes),
            callbacks=[kind.TerminateOnNaN(), make(kind)],
        )  # fmt: skip
    assert not list((tmp_path / "spaces").glob("trial_*"))


@BOTH
def test_checkpoint_of_the_best_needs_something_that_is_logged(kind):
    options = {"save_weights_only": True, "save_best_only": True}
    with pytest.raises(ConfigError, match="its monitor is 'val_loss'; the logs hold loss and"):
        checked_callbacks([kind.ModelCheckpoint("a.weights.h5", **options)])
    for monitor in ("loss", "val_accuracy"):
        checked_callbacks([kind.ModelCheckpoint("a.weights.h5", monitor=monitor, **options)])


def test_tensorboard_that_would_fail_after_an_epoch_is_refused():
    checked_callbacks([tf_keras.callbacks.TensorBoard("a", histogram_freq=1)])
    with pytest.raises(ConfigError, match=r"callbacks has TensorBoard.*tf_keras' TensorBoard"):
        checked_callbacks([keras.callbacks.TensorBoard("a", histogram_freq=1)])


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (tf_keras.callbacks.History(), "callbacks is a History; give a list"),
        ([tf_keras.callbacks.History], "callbacks has History, which is no callback"),
        ([print], "callbacks has print, which is no callback"),
        ([None], "callbacks has NoneType, which is no callback"),
    ],
)
def test_what_is_no_callback_is_refused(callbacks, message):
    with pytest.raises(ConfigError, match=message):
        checked_callbacks(callbacks)


@pytest.fixture(scope="module")
def supernet():
    return Supernet(SPACE.at(4, 0.5).largest())


VALUES = {"patch_size": 4, "rank_ratio": 0.5, "stem": "conv"}


def play(callback, supernet):
    """Calls a callback as two epochs of two batches would."""
    optimizer = SupernetTrainer(supernet).optimizer
    hooks = TrialCallbacks(
        checked_callbacks([callback]), supernet, optimizer, trial_id="0", values=VALUES, epochs=2,
        steps=2,
    )  # fmt: skip
    hooks.call("on_train_begin", {})
    for epoch in range(2):
        hooks.call("on_epoch_begin", epoch, {})
        for batch in range(2):
            hooks.call("on_train_batch_begin", batch, {})
            hooks.batch_ended(batch, 1.0)
        hooks.call("on_epoch_end", epoch, {"loss": 1.0 + epoch, "val_accuracy": 0.5 + epoch / 4})
    hooks.call("on_train_end", {})


@BOTH
def test_the_best_weights_are_the_most_accurate_or_those_of_least_loss(kind, supernet, tmp_path):
    for monitor, best in (("val_accuracy", [1, 2]), ("loss", [1])):
        (tmp_path / monitor).mkdir()
        path = tmp_path / monitor / "{epoch}.weights.h5"
        options = {"save_weights_only": True, "save_best_only": True}
        play(kind.ModelCheckpoint(str(path), monitor=monitor, **options), supernet)
        assert sorted((tmp_path / monitor).iterdir()) == [
            tmp_path / monitor / f"{epoch}.weights.h5" for epoch in best
        ]


@BOTH
def test_tensorboard_progress_bars_and_functions_are_called(kind, supernet, tmp_path, capsys):
    told = []
    for callback in (
        kind.TensorBoard(str(tmp_path), update_freq="batch"),
        kind.ProgbarLogger(),
        kind.LambdaCallback(on_epoch_end=lambda epoch, logs: told.append((epoch, sorted(logs)))),
    ):
        play(callback, supernet)
    assert told == [(0, ["loss", "val_accuracy"]), (1, ["loss", "val_accuracy"])]
    assert "Epoch 2/2" in capsys.readouterr().out
    assert list((tmp_path / "0").rglob("events.*"))
    assert hparams_of(tmp_path) == {"0": VALUES}


RATES = {
    "assigned": lambda optimizer: setattr(optimizer, "learning_rate", 0.1),
    "written": lambda optimizer: tf_keras.backend.set_value(optimizer.lr, 0.1),
    "scheduled": lambda optimizer: setattr(
        optimizer, "learning_rate", tf_keras.optimizers.schedules.CosineDecay(0.1, 10)
    ),
}


@BOTH
@pytest.mark.parametrize("way", RATES)
def test_callback_of_ones_own_that_sets_the_learning_rate_is_told_of(kind, supernet, way):
    class Jump(kind.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            RATES[way](self.model.optimizer)

    with pytest.raises(ConfigError, match=r"The callback Jump sets learning_rate.*TrainingRecipe"):
        play(Jump(), supernet)


@BOTH
def test_callback_of_ones_own_that_stops_training_is_told_of(kind, supernet):
    class Deadline(kind.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    with pytest.raises(
        ConfigError, match=r"The callback Deadline sets stop_training.*equal epochs"
    ):
        play(Deadline(), supernet)
