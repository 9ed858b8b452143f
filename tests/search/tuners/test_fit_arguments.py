"""``search`` takes what Keras' ``fit`` takes, means the same by it, and refuses the rest."""

import inspect

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tiny_search import BUDGET, SPACE, data, quiet, space_tuner

from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError, McuformerError
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.batches import batches
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.search.oracles.space_evolution import SpaceEvolution
from mcuformer_tflm.search.oracles.subnet_baselines import RandomSubnets
from mcuformer_tflm.search.tuners.fit_arguments import fit_data
from mcuformer_tflm.search.tuners.scoring import ScoreSettings
from mcuformer_tflm.search.tuners.subnet_tuner import SubnetTuner
from mcuformer_tflm.search.tuners.supernet_tuner import SupernetTuner

pytestmark = pytest.mark.usefixtures("op_by_op")
IMAGES, CLASSES = data(96)
HELD_OUT = data(12)
PAIR = SPACE.at(4, 0.5)


def _fit_data(x, y=None, recipe=None, **options):
    return fit_data(SPACE, recipe or TrainingRecipe(), seed=3, x=x, y=y, **options)


def _epoch(train, epoch=0):
    shown = list(train.epoch(epoch).as_numpy_iterator())
    return [images for images, _ in shown], [classes for _, classes in shown]


def _measured(monkeypatch, tuner):
    """Keeps what trials are given instead of measuring them."""
    kept = []

    def measure(self, trial, report, **arguments):
        kept.append({"epochs": trial.hyperparameters.values.get("epochs"), **arguments})
        names = ("score", "accuracy", "share_that_fits", "median_margin")
        return dict.fromkeys(names, 0.5)

    monkeypatch.setattr(type(tuner), "measure", measure)
    return kept


def test_arrays_become_shuffled_batches_of_32_like_those_of_batches():
    train, _ = _fit_data(IMAGES, CLASSES, validation_data=HELD_OUT)
    wanted = batches(IMAGES, CLASSES, 32, seed=3, num_classes=3)
    for one, other in zip(_epoch(train, 1), _epoch(wanted, 1), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "convert", [np.asarray, tf.constant, lambda values: np.asarray(values).tolist()]
)
def test_arrays_tensors_and_lists_are_taken(convert):
    held_out = tuple(map(convert, HELD_OUT))
    train, validation = _fit_data(convert(IMAGES), convert(CLASSES), validation_data=held_out)
    np.testing.assert_allclose(np.sort(np.concatenate(_epoch(train)[1])), np.sort(CLASSES))
    np.testing.assert_allclose(validation[0], HELD_OUT[0])


def test_classes_of_shape_n_1_are_classes():
    train, (_, classes) = _fit_data(
        IMAGES, CLASSES[:, None], validation_data=(HELD_OUT[0], HELD_OUT[1][:, None])
    )
    assert _epoch(train)[1][0].shape == (32,)
    np.testing.assert_array_equal(classes, HELD_OUT[1])


@pytest.mark.parametrize(("given", "kept"), [({}, 32), ({"batch_size": 20}, 20)])
def test_batch_size_is_that_of_a_batch(given, kept):
    train, _ = _fit_data(IMAGES, CLASSES, validation_data=HELD_OUT, **given)
    assert {len(classes) for classes in _epoch(train)[1]} == {kept}


def test_fewer_images_than_a_default_batch_are_one_batch():
    train, _ = _fit_data(IMAGES[:20], CLASSES[:20], validation_data=HELD_OUT)
    assert [len(classes) for classes in _epoch(train)[1]] == [20]


@pytest.mark.parametrize(("share", "count"), [(0.25, 24), (0.1, 10), (0.985, 95)])
def test_validation_split_holds_out_the_last_images_as_keras_does(share, count):
    train, (images, classes) = _fit_data(IMAGES, CLASSES, validation_split=share, batch_size=1)
    split = int(len(IMAGES) * (1 - share))  # data_adapter.train_validation_split of Keras
    np.testing.assert_array_equal(images, IMAGES[split:])
    np.testing.assert_array_equal(classes, CLASSES[split:])
    assert len(images) == count
    assert sorted(np.concatenate(_epoch(train)[1])) == sorted(CLASSES[:split])


def test_split_that_leaves_nothing_on_one_side_is_refused():
    with pytest.raises(DataError, match=r"validation_split is 0\.5, which holds 1 of 1 images out"):
        _fit_data(IMAGES[:1], CLASSES[:1], validation_split=0.5)


def test_validation_data_override_the_split_as_in_keras():
    train, validation = _fit_data(
        IMAGES, CLASSES, validation_data=HELD_OUT, validation_split=0.5, batch_size=96
    )
    np.testing.assert_array_equal(validation[0], HELD_OUT[0])
    assert len(train) == 1


def test_steps_per_epoch_takes_the_first_batches_of_a_freshly_shuffled_epoch():
    train, _ = _fit_data(IMAGES, CLASSES, validation_data=HELD_OUT, steps_per_epoch=2)
    assert len(train) == 2
    whole = batches(IMAGES, CLASSES, 32, seed=3, num_classes=3)
    np.testing.assert_array_equal(_epoch(train, 4)[0], _epoch(whole, 4)[0][:2])


def test_endless_dataset_goes_on_where_the_last_epoch_ended():
    numbers = np.arange(12) % 3
    dataset = tf.data.Dataset.from_tensor_slices((IMAGES[:12], numbers.astype(np.int32)))
    train, _ = _fit_data(dataset.batch(1).repeat(), validation_data=HELD_OUT, steps_per_epoch=5)
    told = [np.concatenate(_epoch(train, epoch)[1]) for epoch in range(3)]
    np.testing.assert_array_equal(np.concatenate(told), np.arange(15) % 12 % 3)


def test_augmentation_of_the_recipe_is_that_of_arrays():
    recipe = TrainingRecipe(crop_padding=1)
    train, _ = _fit_data(IMAGES, CLASSES, recipe, validation_data=HELD_OUT)
    wanted = batches(IMAGES, CLASSES, 32, seed=3, num_classes=3, recipe=recipe)
    np.testing.assert_array_equal(_epoch(train)[0], _epoch(wanted)[0])


def test_search_trains_on_arrays_for_the_epochs_given(tmp_path):
    oracle = SpaceEvolution(PAIR, starts=1, steps=1)
    settings = ScoreSettings(accuracy_samples=1, fit_samples=1)
    tuner = SupernetTuner(oracle, BUDGET, settings=settings, directory=tmp_path, report=quiet)
    epochs = []

    class Seen(tf_keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            epochs.append(epoch)

        def __deepcopy__(self, memo):
            return self

    tuner.search(
        IMAGES, CLASSES, epochs=2, batch_size=48, validation_data=HELD_OUT, callbacks=[Seen()]
    )
    assert [visit.epochs for visit in oracle.history] == [2]
    assert epochs == [0, 1]


def test_epochs_left_open_are_those_of_the_project_and_others_are_refused(tmp_path, monkeypatch):
    def make():
        oracle = SpaceEvolution(SPACE, starts=1, steps=2)
        return SupernetTuner(oracle, BUDGET, directory=tmp_path, report=quiet)

    tuner = make()
    kept = _measured(monkeypatch, tuner)
    arguments = {"x": IMAGES, "y": CLASSES, "validation_data": HELD_OUT}
    with pytest.raises(ConfigError, match="epochs is 0"):
        tuner.search(**arguments, epochs=0)
    tuner.search(**arguments, epochs=3)
    assert {one["epochs"] for one in kept} <= {3, 6}
    again = make()
    again.search(**arguments, epochs=3)
    again.search(**arguments)
    assert again.oracle.epochs == 3
    with pytest.raises(ConfigError, match="epochs is 4, but the trials of this search have 3"):
        again.search(**arguments, epochs=4)


def test_epochs_that_contradict_the_oracle_are_refused(tmp_path):
    tuner = space_tuner(tmp_path, epochs=2)
    with pytest.raises(ConfigError, match="epochs is 3 in search and 2 in SpaceEvolution"):
        tuner.search(IMAGES, CLASSES, epochs=3, validation_data=HELD_OUT)


_BATCHED = batches(IMAGES, CLASSES, 16)
_WRONG = [
    ({"x": None}, DataError), ({"x": "images"}, DataError), ({"x": IMAGES[0]}, DataError),
    ({"x": IMAGES[:, :, :4]}, DataError), ({"x": [[1], [1, 2]]}, DataError),
    ({"x": {"images": IMAGES}}, DataError), ({"x": iter(IMAGES)}, DataError), ({"x": 3}, DataError),
    ({"x": _BATCHED}, ConfigError),  # beside y
    ({"x": _BATCHED, "y": None, "batch_size": 8}, ConfigError),
    ({"x": _BATCHED, "y": None, "validation_data": None, "validation_split": 0.2}, ConfigError),
    ({"y": None}, DataError), ({"y": CLASSES[:-1]}, DataError), ({"y": CLASSES + 3}, DataError),
    ({"y": "classes"}, DataError), ({"y": CLASSES.astype(float)}, DataError),
    ({"y": tf_keras.utils.to_categorical(CLASSES)}, DataError),
    *(({"epochs": value}, ConfigError) for value in (0, -1, 2.5, "3", np.nan, (), True)),
    *(({"batch_size": value}, ConfigError) for value in (0, -1, 2.5, "3", np.nan, (), True)),
    ({"batch_size": 10**6}, DataError),
    *(({"steps_per_epoch": value}, ConfigError) for value in (0, -1, 2.5, "3", np.nan, (), 10**6)),
    *(({"validation_data": None, "validation_split": value}, ConfigError)
      for value in (1, -0.1, "3", np.nan, (), True)),
    *(({"validation_data": value}, DataError)
      for value in (None, 3, "data", IMAGES, (IMAGES,), (IMAGES, CLASSES, CLASSES), ((), ()),
                    (IMAGES, CLASSES[:3]), (IMAGES, CLASSES + 3), (IMAGES[..., 0], CLASSES),
                    (IMAGES, None), _BATCHED)),
    *(({"verbose": value}, ConfigError) for value in (3, -1, "loud", 0.5, (), [1])),
    *(({name: None}, TypeError)
      for name in ("class_weight", "sample_weight", "initial_epoch", "train", "validaton_data")),
]  # fmt: skip


def _files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_search_refuses_what_is_wrong_before_anything_starts(tmp_path, monkeypatch):
    tuner = space_tuner(tmp_path, starts=1, steps=1, epochs=1)
    kept = _measured(monkeypatch, tuner)
    whole = {"x": IMAGES, "y": CLASSES, "validation_data": HELD_OUT}
    before = _files(tmp_path)
    for wrong, error in _WRONG:
        if "epochs" in wrong:
            tuner.oracle._epochs_are_open = True
        with pytest.raises(error) as caught:
            tuner.search(**{**whole, **wrong})
        assert isinstance(caught.value, McuformerError | TypeError)
        named = {*wrong, "classes", "images"}
        assert any(name in str(caught.value) for name in named), str(caught.value)
    assert _files(tmp_path) == before
    assert tuner.oracle.trials == {}
    assert not kept
    tuner.search(**whole)
    assert len(kept) == 1


@pytest.mark.parametrize(
    "name", [name for name in inspect.signature(tf_keras.Model.fit).parameters
             if name not in ("self", "verbose", "validation_data")],
)  # fmt: skip
def test_subnet_tuner_refuses_what_is_for_training_by_name(tmp_path, monkeypatch, name):
    oracle = RandomSubnets(PAIR, BUDGET, subnets=2)
    tuner = SubnetTuner(oracle, Supernet(PAIR.largest()), directory=tmp_path, report=quiet)
    for held_out in ({}, {"validation_data": HELD_OUT}):
        with pytest.raises(TypeError, match=f"no {name}: it trains nothing"):
            tuner.search(**{name: IMAGES}, **held_out)
    assert oracle.trials == {}


@pytest.mark.parametrize(
    "value", [None, 3, "data", (), (IMAGES,), HELD_OUT[0], (IMAGES, CLASSES + 3)]
)
def test_subnet_tuner_refuses_validation_data_that_are_none(tmp_path, value):
    oracle = RandomSubnets(PAIR, BUDGET, subnets=2)
    tuner = SubnetTuner(oracle, Supernet(PAIR.largest()), directory=tmp_path, report=quiet)
    with pytest.raises(DataError):
        tuner.search(value)
    assert oracle.trials == {}
