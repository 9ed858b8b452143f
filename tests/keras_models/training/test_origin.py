"""A state that was kept is gone on with only where it came from the same."""

import dataclasses
import json
import wave

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from op_by_op import op_by_op

from mcuformer_tflm.data.folder import ImageFolder
from mcuformer_tflm.data.speech_commands import SpeechCommands
from mcuformer_tflm.keras_models.exceptions import CheckpointError, ConfigError
from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.batches import DatasetBatches, batches
from mcuformer_tflm.keras_models.training.origin import array_origin, data_origin, differences
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.training.trainers import (
    SubnetTrainer,
    SupernetTrainer,
    train_subnet,
)
from mcuformer_tflm.quantize.quantize import quantize
from mcuformer_tflm.search.space import SearchSpace

pytestmark = pytest.mark.usefixtures("op_by_op")
SPACE = SearchSpace(
    image_size=8, channels=1, num_classes=4, patch_size=(4,), rank_ratio=(0.5,),
    embed_dim=(8,), depth=(1,), num_heads=(1,), mlp_ratio=(2.0,), head_dim=4,
)  # fmt: skip
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (64, 8, 8, 1), np.uint8)
CLASSES = RNG.integers(0, 4, 64, dtype=np.int32)
# Integer operators are not what is tested, and take a while to trace.
QUICK = QuantizationConfig(integer_operators=False)


def network(seed=1):
    tf_keras.utils.set_random_seed(seed)
    return build_subnet(SPACE.largest())


def changed(array):
    other = array.copy()
    other[-1] = (other[-1] + 1) % 4
    return other


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Returns the checkpoint of a training that one epoch of two has been gone through."""
    path = tmp_path_factory.mktemp("trained") / "state.npz"
    with op_by_op():
        broken_off(lambda stop: train(path, progress=stop))
    return path


def broken_off(run, step=5):
    def stop(done, total):
        if done == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(stop)


def train(path, images=IMAGES, classes=CLASSES, seed=0, start=1, epochs=2, batch_size=16, teacher=2,
          recipe=None, **options):  # fmt: skip
    recipe = recipe or TrainingRecipe(distillation_weight=0.5)
    data = batches(images, classes, batch_size, seed=seed, num_classes=4, recipe=recipe)
    subnet = network(start)
    train_subnet(
        subnet, data, epochs, recipe=recipe, teacher=network(teacher), checkpoint=path, **options
    )
    return subnet


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"images": changed(IMAGES)}, ["data.images"]),
        ({"classes": changed(CLASSES)}, ["data.classes"]),
        ({"images": changed(IMAGES), "classes": changed(CLASSES)}, ["data.images", "data.classes"]),
        ({"seed": 7}, ["data.seed is 0 there and 7 here"]),
        ({"batch_size": 32}, ["data.batch_size is 16 there and 32 here", "steps is 8 there"]),
        ({"epochs": 3}, ["epochs is 2 there and 3 here"]),
        ({"start": 9}, ["starting_weights"]),
        ({"teacher": 9}, ["teacher"]),
        ({"recipe": TrainingRecipe(distillation_weight=0.5, flip_probability=0.5)},
         ["data.augmentation.flip_probability is 0.0 there and 0.5 here"]),
    ],
)  # fmt: skip
def test_training_that_came_from_something_else_is_refused_by_its_fields(trained, change, fields):
    before = trained.read_bytes()
    with pytest.raises(CheckpointError) as refusal:
        train(trained, **change)
    for field in fields:
        assert f" {field}" in str(refusal.value)
    assert "starting_weights" in fields or "starting_weights" not in str(refusal.value)
    assert f"{trained}" in str(refusal.value)
    assert "remove it to start anew" in str(refusal.value)
    assert trained.read_bytes() == before


def test_training_without_origin_is_refused_where_one_is_asked_for(tmp_path):
    trainer = SubnetTrainer(network(), steps=8)
    trainer.save(tmp_path / "state.npz")
    with pytest.raises(CheckpointError, match=r"does not say from which data.*Remove it to start"):
        train(tmp_path / "state.npz")
    trainer.restore(tmp_path / "state.npz")


def test_origin_is_told_field_by_field_in_the_checkpoint(trained):
    with np.load(trained) as saved:
        state = json.loads(str(saved["state"]))
    origin = state["origin"]
    assert origin["epochs"] == 2
    assert origin["data"]["seed"] == 0
    assert origin["data"]["images"] == array_origin(IMAGES)
    assert origin["data"]["images"].startswith("uint8[64, 8, 8, 1] ")
    assert state["recipe"]["distillation_weight"] == 0.5


@pytest.fixture(scope="module")
def quantized(tmp_path_factory):
    path = tmp_path_factory.mktemp("quantized") / "state.npz"
    with op_by_op():
        broken_off(lambda stop: train_quantized(path, progress=stop))
    return path


def train_quantized(path, images=IMAGES, classes=CLASSES, start=1, **options):
    options = {"batch_size": 16, "config": QUICK, "epochs": 2, **options}
    return quantize(network(start), images, classes, checkpoint=path, **options)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"classes": changed(CLASSES)}, "data.classes"),
        ({"images": changed(IMAGES)}, "data.images"),
        ({"start": 9}, "starting_weights"),
        ({"config": dataclasses.replace(QUICK, weight_bits=4)},
         "quantization.weight_bits is 8 there and 4 here"),
        ({"seed": 7}, "data.seed is 0 there and 7 here"),
        ({"percentile": 99.0}, "percentile is 100.0 there and 99.0 here"),
        ({"calibration_images": 50}, "calibration_images is 1024 there and 50 here"),
        ({"frozen_epochs": 0}, "frozen_epochs is 1.0 there and 0.0 here"),
        ({"learning_rate": 1e-2}, "recipe.learning_rate is 0.0003 there and 0.01 here"),
    ],
)  # fmt: skip
def test_quantization_that_came_from_something_else_is_refused_by_its_field(
    quantized, change, field
):
    with pytest.raises(CheckpointError) as refusal:
        train_quantized(quantized, **change)
    assert f" {field}" in str(refusal.value)
    assert str(refusal.value).count(" there and ") == 1


def test_supernet_of_another_teacher_is_refused(tmp_path):
    recipe = TrainingRecipe(distillation_weight=0.5)
    supernet = Supernet(SPACE.largest())
    SupernetTrainer(supernet, recipe, teacher=network(1)).save(tmp_path / "state.npz")
    SupernetTrainer(supernet, recipe, teacher=network(1)).restore(tmp_path / "state.npz")
    with pytest.raises(CheckpointError, match=r"teacher is .* there and .* here"):
        SupernetTrainer(supernet, recipe, teacher=network(2)).restore(tmp_path / "state.npz")


def convolutions(strides=2, activation="relu"):
    tf_keras.utils.set_random_seed(1)
    layers = [
        tf_keras.layers.Conv2D(4, 3, strides, activation=activation),
        tf_keras.layers.GlobalAveragePooling2D(),
        tf_keras.layers.Dense(4),
    ]
    return tf_keras.Sequential([tf_keras.Input((8, 8, 1)), *layers], name="convolutions")


def test_networks_of_equal_weights_and_other_layers_are_told_apart(tmp_path):
    SubnetTrainer(convolutions()).save(tmp_path / "state.npz")
    SubnetTrainer(convolutions()).restore(tmp_path / "state.npz")
    for change in ({"strides": 1}, {"activation": "gelu"}):
        with pytest.raises(CheckpointError, match=r"layers is .* there and .* here"):
            SubnetTrainer(convolutions(**change)).restore(tmp_path / "state.npz")


def test_origin_of_ones_own_is_compared_beside_the_rest(trained, tmp_path):
    trainer, path = SubnetTrainer(network()), tmp_path / "state.npz"
    trainer.save(path, {"camera": np.int64(3)})
    trainer.restore(path, {"camera": 3})
    with pytest.raises(CheckpointError, match=r": camera is 3 there and 4 here\. Give"):
        trainer.restore(path, {"camera": 4})
    with pytest.raises(CheckpointError, match=r"starting_weights is .* camera is not said there"):
        train(trained, start=9, origin={"camera": 3})


def test_origin_that_cannot_be_told_is_refused_before_training(tmp_path):
    options = {"origin": {"camera": np.zeros(3)}, "progress": pytest.fail}
    with pytest.raises(ConfigError, match=r"holds a ndarray.*array_origin\(array\)"):
        train(tmp_path / "state.npz", **options)


@pytest.mark.parametrize("state", ["{", "[]", "[" * 3000], ids=["cut", "list", "nested"])
def test_state_that_is_no_json_of_fields_is_no_intact_checkpoint(trained, tmp_path, state):
    with np.load(trained) as saved:
        np.savez(tmp_path / "state.npz", **{**saved, "state": np.asarray(state)})
    with pytest.raises(CheckpointError, match="no intact checkpoint"):
        train(tmp_path / "state.npz")


ARRAYS = st_numpy.arrays(
    st.sampled_from([np.uint8, np.int32, np.int64, np.float32]),
    st_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)


@given(ARRAYS, ARRAYS)
def test_arrays_are_told_apart_by_dtype_shape_and_content(one, other):
    same = (
        one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    )
    # A scalar is told as an array of one.
    same = same or (
        one.dtype == other.dtype and {one.shape, other.shape} == {(), (1,)}
        and one.tobytes() == other.tobytes()
    )  # fmt: skip
    assert (array_origin(one) == array_origin(other)) == same
    assert array_origin(one) == array_origin(np.asfortranarray(one))


VALUES = st.recursive(
    st.integers() | st.text() | st.none(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab"), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.text("ab"), VALUES, max_size=3))
def test_an_origin_differs_from_none_that_came_through_a_file(origin):
    assert differences(json.loads(json.dumps(origin)), origin) == []


def dataset(images=IMAGES, classes=CLASSES):
    return tf.data.Dataset.from_tensor_slices((images, classes))


def test_datasets_are_told_by_their_number_and_first_batch():
    told = data_origin(DatasetBatches(dataset().batch(16)))
    assert told == data_origin(DatasetBatches(dataset().batch(16)))
    first = np.concatenate([changed(IMAGES[:1]), IMAGES[1:]])
    for other in (dataset(first).batch(16), dataset().batch(8), dataset().batch(16).take(3)):
        assert differences(told, data_origin(DatasetBatches(other)))


def test_datasets_that_shuffle_anew_are_told_as_such_and_can_be_gone_on_with():
    shuffled = dataset().shuffle(64).batch(16)
    told = data_origin(DatasetBatches(shuffled))
    images, classes = told["first_batch"]
    assert images == "float32[16, 8, 8, 1] shuffled"
    assert classes.endswith("[16] shuffled")
    assert told == data_origin(DatasetBatches(dataset().shuffle(64).batch(16)))


def write_pictures(folder):
    for place, name in enumerate(("cat/1.png", "cat/2.png", "dog/3.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(np.full((8, 8), 40 * place, np.uint8)).save(folder / name)


def repaint(folder):
    PIL.Image.fromarray(np.full((8, 8), 255, np.uint8)).save(folder / "cat/2.png")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (repaint, "images"),
        (lambda folder: (folder / "dog/3.png").rename(folder / "dog/4.png"), "images"),
        (lambda folder: (folder / "dog").rename(folder / "bird"), "labels"),
    ],
)
def test_a_folder_of_pictures_is_told_by_content_and_names_not_by_place_or_date(
    tmp_path, change, field
):
    for part in ("one", "other"):
        write_pictures(tmp_path / part)
    one, other = (ImageFolder(tmp_path / part, 8, 1, channels=1) for part in ("one", "other"))
    assert one.origin() == other.origin()
    change(tmp_path / "other")
    found = differences(one.origin(), ImageFolder(tmp_path / "other", 8, 1, channels=1).origin())
    assert any(text.startswith(f"{field} is ") for text in found)
    options = {"image_size": 8, "batch_size": 1, "channels": 1}
    for name, value in (("seed", 1), ("image_size", 7), ("batch_size", 2), ("channels", 3)):
        another = ImageFolder(tmp_path / "one", **{**options, name: value})
        found = differences(one.origin(), another.origin())
        assert any(text.startswith(f"{name} is ") for text in found)


def write_sound(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(np.full(16_000, value, "<i2").tobytes())


@pytest.mark.filterwarnings("ignore:.*(holds no example|names 1 files)")
def test_a_folder_of_words_is_told_by_content_names_and_options(tmp_path):
    for part in ("one", "other"):
        for place, word in enumerate(("yes", "no", "cat")):
            write_sound(tmp_path / part / word / "a_nohash_0.wav", place)
        (tmp_path / part / "testing_list.txt").write_text("none\n")
    one, other = (SpeechCommands(tmp_path / part, 1) for part in ("one", "other"))
    assert one.origin() == other.origin()
    write_sound(tmp_path / "other/no/a_nohash_0.wav", 99)
    changes = {
        "sounds": SpeechCommands(tmp_path / "other", 1),
        "seed": SpeechCommands(tmp_path / "one", 1, seed=1),
        "labels": SpeechCommands(tmp_path / "one", 1, words=["no", "yes"]),
        "extra_share": SpeechCommands(tmp_path / "one", 1, extra_share=0.5),
    }
    for field, another in changes.items():
        found = differences(one.origin(), another.origin())
        assert any(text.startswith(f"{field} is ") for text in found), field
