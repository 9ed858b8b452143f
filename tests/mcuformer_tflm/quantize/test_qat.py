import importlib
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mcuformer_tflm import TrainingRecipe, quantize
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError, QuantizationWarning
from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.keras_models.training.batches import batches

TINY = Architecture(
    image_size=8, channels=1, num_classes=3, patch_size=4, rank_ratio=None, head_dim=4,
    embed_dim=8, num_heads=(1,), mlp_ratio=(2.0,),
)  # fmt: skip
# The arithmetic of the layers does not matter here.
QUICK = QuantizationConfig(integer_operators=False)


@pytest.fixture
def subnet():
    tf_keras.utils.set_random_seed(0)
    return build_subnet(TINY)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1)).astype(np.uint8)


@pytest.fixture
def classes():
    return np.arange(64, dtype=np.int32) % 3


def ranges(network):
    return {
        (layer.name, name): layer.quantization_range(name)
        for layer in network.operators()
        for name in layer.output_names
    }


def warned(run):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        run()
    return [str(w.message) for w in found if issubclass(w.category, QuantizationWarning)]


def test_calibration_alone_needs_no_classes_and_keeps_the_weights(subnet, images):
    network = quantize(subnet, images, epochs=0)
    for one, other in zip(subnet.trainable_weights, network.trainable_weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_bytes_and_floats_calibrate_alike(subnet, images):
    floats = (images.astype(np.float32) - 128) / 128
    one, other = (quantize(subnet, given, epochs=0) for given in (images, floats))
    assert ranges(one) == ranges(other)


def test_percentile_cuts_ranges(subnet, images):
    whole, cut = (quantize(subnet, images, epochs=0, percentile=p) for p in (100, 99))
    for key, (low, high) in ranges(cut).items():
        assert high - low < ranges(whole)[key][1] - ranges(whole)[key][0], key


def train(subnet, images, classes, **options):
    options = {"batch_size": 32, "learning_rate": 0.01, "config": QUICK} | options
    return quantize(subnet, images, classes, **options)


def test_ranges_follow_training_until_they_are_frozen(subnet, images, classes):
    network = quantize(subnet, images, epochs=0, config=QUICK)
    start, larger = ranges(network), np.where(images > 127, np.float32(1), np.float32(-1))
    network(larger, training=True)
    followed = ranges(network)
    assert all(followed[key] != start[key] for key in start)
    network.freeze_ranges()
    network(larger, training=True)
    assert ranges(network) == followed


def test_ranges_are_frozen_for_the_last_epoch(subnet, images, classes, monkeypatch):
    frozen_after = []

    def follow(network, data, epochs, *, progress, **_):
        for done in range(1, 1 + epochs * len(data)):
            progress(done, epochs * len(data))
            if not frozen_after and float(network.get_layer("head")._following) == 0:
                frozen_after.append(done)

    monkeypatch.setattr(importlib.import_module(quantize.__module__), "train_subnet", follow)
    for epochs, frozen_epochs in ((3, None), (1, None), (3, 2)):
        train(subnet, images, classes, epochs=epochs, frozen_epochs=frozen_epochs)
        assert frozen_after.pop() == {3: 4, 1: 1}[epochs] - (2 if frozen_epochs else 0)


def test_interrupted_training_goes_on_to_the_same_network(subnet, images, classes, tmp_path):
    recipe = TrainingRecipe(flip_probability=0.5, distillation_weight=0.5)
    options = {"epochs": 2, "recipe": recipe, "teacher": subnet}
    whole = train(subnet, images, classes, **options)

    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    options["checkpoint"] = tmp_path / "quantized.npz"
    with pytest.raises(KeyboardInterrupt):
        train(subnet, images, classes, progress=stop, **options)
    resumed = train(subnet, images, classes, **options)
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("op_by_op")
def test_batches_give_the_network_that_their_arrays_give(subnet, images, classes):
    recipe = TrainingRecipe(learning_rate=0.01)
    whole = train(subnet, images, classes, epochs=2, recipe=recipe)
    data = batches(images, classes, 32, num_classes=3)
    network = quantize(subnet, data, epochs=2, recipe=recipe, config=QUICK)
    for one, other in zip(whole.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("op_by_op")
def test_datasets_calibrate_on_their_first_batches(subnet, images, classes):
    floats = (images.astype(np.float32) - 128) / 128
    data = tf.data.Dataset.from_tensor_slices((floats, classes)).batch(8)
    network = quantize(subnet, data, epochs=0, calibration_images=32)
    assert ranges(network) == ranges(quantize(subnet, images[:32], epochs=0))
    trained = quantize(subnet, data, config=QUICK)
    assert not np.array_equal(trained.get_layer("head").kernel, subnet.get_layer("head").kernel)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": np.zeros(64, np.int32)}, "hold their classes; leave classes out"),
        ({"images": lambda data: data.take(0)}, "hold no images"),
        ({"images": lambda data: data.map(lambda x, y: (x[:, 1:], y))}, r"\(n, 7, 8, 1\), the net"),
        ({"images": lambda data: batches(
            np.zeros((8, 8, 8, 1)), np.zeros(8, int), 4, num_classes=5)},
         "has 5 classes, the network 3"),
    ],
)  # fmt: skip
def test_bad_batches_are_refused(subnet, images, classes, change, message):
    data = tf.data.Dataset.from_tensor_slices((images / 255 - 0.5, classes)).batch(32)
    data = change.get("images", lambda data: data)(data)
    with pytest.raises(DataError, match=message):
        quantize(subnet, data, change.get("classes"))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"percentile": 30}, ConfigError, "percentile is 30"),
        ({"frozen_epochs": -1}, ConfigError, "frozen_epochs is -1"),
        ({"epochs": -1}, ConfigError, "epochs is -1; it must be at least 0"),
        ({"epochs": 1.5}, ConfigError, "epochs is 1.5"),
        ({"batch_size": 0}, ConfigError, "batch_size is 0"),
        ({"calibration_images": 0}, ConfigError, "calibration_images is 0"),
        ({"subnet": tf_keras.Sequential()}, ConfigError, "subnet is a Sequential"),
        ({"classes": None}, DataError, "no classes"),
        ({"classes": np.full(64, 3)}, DataError, "classes reach from 3 to 3; allowed are 0 to 2"),
        ({"images": np.zeros((0, 8, 8, 1), np.uint8)}, DataError, "no images"),
        ({"images": np.zeros((64, 9, 9, 1), np.uint8)}, DataError, r"\(n, 9, 9, 1\), the network"),
        ({"images": np.zeros((64, 8, 8, 1), np.int64)}, DataError, "images are int64"),
        ({"images": np.full((64, 8, 8, 1), np.nan, np.float32)}, DataError, "no numbers"),
    ],
)
def test_bad_input_is_refused(subnet, images, classes, change, error, message):
    given = {"subnet": subnet, "images": images, "classes": classes} | change
    with pytest.raises(error, match=message):
        train(**given)


def test_sound_networks_give_no_warning(subnet, images):
    assert warned(lambda: quantize(subnet, images, epochs=0)) == []


def test_few_images_are_told(subnet, images):
    (text,) = warned(lambda: quantize(subnet, images[:5], epochs=0))
    assert "Only 5 images" in text


def test_dead_and_constant_channels_are_told_with_their_layer(subnet, images):
    head, fc1 = subnet.get_layer("head"), subnet.get_layer("block_0_fc1")
    head.kernel.assign(head.kernel * [1.0, 0.0, 1.0])
    fc1.kernel.assign(fc1.kernel * np.repeat([0.0, 1.0], [7, 9]))
    texts = warned(lambda: quantize(subnet, images, epochs=0))
    assert any(
        "head: the weights of 1 of 3 channels (1) of its kernel are all zero" in t for t in texts
    )
    assert any("block_0_fc1: the weights of 7 of 16 channels (0, 1, 2" in t for t in texts)
    assert any("block_0_gelu: 7 of 16 channels" in t and "never change" in t for t in texts)


def test_ranges_that_cut_off_much_are_told_with_their_layer(subnet, images):
    texts = warned(lambda: quantize(subnet, images, epochs=0, percentile=90))
    assert any("block_0_fc1: the range of its output cuts off" in text for text in texts)
