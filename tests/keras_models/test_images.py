"""Bytes, or floats in [-1, 1): at every way into a network, and nothing else at any of them."""

import re

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given
from hypothesis import strategies as st
from op_by_op import op_by_op

from mcuformer_tflm import normalise, quantization_report, quantize, quantize_images
from mcuformer_tflm.convert.builtin import convert_builtin
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import DataError
from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.batches import DatasetBatches, batches
from mcuformer_tflm.keras_models.training.trainers import (
    SubnetTrainer,
    SupernetTrainer,
    predict,
    train_subnet,
)
from mcuformer_tflm.referee.referee import Referee
from mcuformer_tflm.search.space import SearchSpace
from mcuformer_tflm.search.tuners.fit_arguments import checked_validation

TINY = Architecture(
    image_size=8, channels=1, num_classes=3, patch_size=4, rank_ratio=None, head_dim=4,
    embed_dim=8, num_heads=(1,), mlp_ratio=(2.0,),
)  # fmt: skip
SPACE = SearchSpace(
    image_size=8, channels=1, num_classes=3, patch_size=4, rank_ratio=0.5, embed_dim=8, depth=1,
    num_heads=1, mlp_ratio=2.0, head_dim=4,
)  # fmt: skip
# The arithmetic of the layers does not matter here.
QUICK = QuantizationConfig(integer_operators=False)
BYTES = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1)).astype(np.uint8)
FLOATS = (BYTES.astype(np.float32) - 128) / 128
CLASSES = np.arange(64) % 3


def dataset(images, classes=CLASSES):
    return tf.data.Dataset.from_tensor_slices((images, classes)).batch(16)


def fresh():
    tf_keras.utils.set_random_seed(0)
    return build_subnet(TINY)


@pytest.fixture(scope="module")
def subnet():
    network = fresh()
    network.compile("sgd", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return network


@pytest.fixture(scope="module")
def supernet():
    tf_keras.utils.set_random_seed(0)
    return SupernetTrainer(Supernet(SPACE.largest()))


@pytest.fixture(scope="module")
def calibrated(subnet):
    return subnet.quantized_copy([FLOATS], QUICK)


def ranges(network):
    return [layer.quantization_range("output") for layer in network.operators()
            if layer.output_names == ["output"]]  # fmt: skip


# What each way in makes of images, in numbers that differ where the images did.
DOORS = {
    "call": lambda get, x: get("subnet")(x),
    "call of a tensor": lambda get, x: get("subnet")(tf.constant(x)),
    "call of a supernet": lambda get, x: get("supernet").supernet(x),
    "call of a quantized network": lambda get, x: get("calibrated")(x),
    "Keras' predict": lambda get, x: get("subnet").predict(x, verbose=0),
    "Keras' predict of a dataset": lambda get, x: get("subnet").predict(
        tf.data.Dataset.from_tensor_slices(x).batch(16), verbose=0
    ),
    "Keras' predict_on_batch": lambda get, x: get("subnet").predict_on_batch(x),
    "Keras' evaluate": lambda get, x: get("subnet").evaluate(x, CLASSES, verbose=0),
    "Keras' evaluate of a dataset": lambda get, x: get("subnet").evaluate(dataset(x), verbose=0),
    "predict": lambda get, x: predict(get("subnet"), x),
    "accuracy of a subnet": lambda get, x: get("supernet").accuracy(SPACE.largest(), x, CLASSES),
    "quantize": lambda get, x: ranges(quantize(get("subnet"), x, epochs=0)),
    "quantize with a dataset": lambda get, x: ranges(quantize(get("subnet"), dataset(x), epochs=0)),
    "quantized_copy": lambda get, x: ranges(get("subnet").quantized_copy([x], QUICK)),
    "quantization_report": lambda get, x: [
        row.sqnr for row in quantization_report(get("calibrated"), x).layers
    ],
    "quantize_images": lambda get, x: quantize_images(x),
    "batches": lambda get, x: next(iter(batches(x, CLASSES, 16).epoch(0)))[0],
    "a dataset's batches": lambda get, x: next(iter(DatasetBatches(dataset(x)).epoch(0)))[0],
}
# Ways in that give nothing back, or take long.
REFUSING = {
    "Keras' fit": lambda get, x: get("subnet").fit(x, CLASSES, verbose=0),
    "Keras' fit of a dataset": lambda get, x: get("subnet").fit(dataset(x), verbose=0),
    "Keras' fit, held out": lambda get, x: get("subnet").fit(
        BYTES, CLASSES, validation_data=(x, CLASSES), verbose=0
    ),
    "Keras' train_on_batch": lambda get, x: get("subnet").train_on_batch(x, CLASSES),
    "Keras' test_on_batch": lambda get, x: get("subnet").test_on_batch(x, CLASSES),
    "training on a dataset": lambda get, x: train_subnet(get("subnet"), dataset(x), 1),
    "a tuner's validation": lambda get, x: checked_validation((x, CLASSES), SPACE),
    "Referee": lambda get, x: Referee(get("calibrated"), x),
    "convert_builtin": lambda get, x: convert_builtin(get("subnet"), x),
}
# The loader of a dataset's batches sees values only when it is drawn from.
WRONG = {
    "floats of 0 to 255": (np.float32(BYTES), r"from 0 to 255; .*uint8.*\[-1, 1\).*normalise\("),
    "floats of more than 1": (FLOATS * 1.5, r"from -1.5 to 1.488.*normalise\("),
    "no numbers": (np.where(BYTES == 7, np.nan, FLOATS), "no numbers"),
    "int8": (quantize_images(BYTES), r"are int8; give bytes \(uint8\), or floats"),
    "whole numbers": (np.int64(BYTES), r"are int64; give bytes \(uint8\), or floats"),
}


@pytest.mark.parametrize("door", DOORS)
def test_bytes_and_their_floats_are_the_same_images(door, request):
    found = [DOORS[door](request.getfixturevalue, images) for images in (BYTES, FLOATS)]
    one, other = map(np.asarray, found)
    assert one.size
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("door", sorted({**DOORS, **REFUSING}.keys() - {"a dataset's batches"}))
def test_images_of_another_scale_or_type_are_refused(door, request):
    for images, message in WRONG.values():
        with pytest.raises(DataError, match=f"^The .*images .*{message}"):
            {**DOORS, **REFUSING}[door](request.getfixturevalue, images)


def test_one_itself_passes_as_other_ways_to_normalise_reach_it(subnet):
    images = np.float32(BYTES) / np.float32(127.5) - 1
    assert images.max() == 1
    assert np.isfinite(predict(subnet, images)).all()
    assert quantize_images(images).max() == 127


@given(st.lists(st.floats(-1, 1, width=32), min_size=1))
def test_quantize_images_rounds_floats_as_the_quantized_network_does(pixels):
    # Halves between two integers, and neighbours of these, beside what is drawn.
    halves = np.arange(-257, 256, dtype=np.float32) / 256
    near = [np.nextafter(halves, np.float32(to)) for to in (-2, 2)]
    images = np.clip(np.concatenate([np.float32(pixels), halves, *near]), -1, 1)
    wanted = tf.quantization.fake_quant_with_min_max_args(images, -1.0, 127 / 128, 8)
    np.testing.assert_array_equal(quantize_images(images), np.int8(wanted * 128))


def test_quantize_images_gives_bytes_and_their_floats_the_same_integers():
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(quantize_images(every), np.arange(-128, 128))
    np.testing.assert_array_equal(quantize_images(normalise(every)), np.arange(-128, 128))


def test_normalise_takes_bytes_alone():
    for images in (FLOATS, np.float32(BYTES), np.int64(BYTES), quantize_images(BYTES)):
        message = f"images are {images.dtype}; normalise takes bytes"
        with pytest.raises(DataError, match=re.escape(message)):
            normalise(images)


@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize("images", [BYTES, FLOATS.astype(np.float64)])
def test_datasets_train_the_network_that_normalised_arrays_train(images, after_one_step):
    network = fresh()
    SubnetTrainer(network, steps=4).train(dataset(images, CLASSES.astype(np.uint16)).take(1))
    for one, other in zip(network.get_weights(), after_one_step, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def after_one_step():
    network = fresh()
    with op_by_op():
        SubnetTrainer(network, steps=4).train(dataset(FLOATS, np.int32(CLASSES)).take(1))
    return network.get_weights()


def rows(classes):
    return np.eye(3, dtype=np.float32)[classes]


def spoilt(values, value):
    return np.concatenate([values[:17], np.full_like(values[17:18], value), values[18:]])


@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize(
    ("images", "classes", "message"),
    [
        (spoilt(FLOATS, 2), CLASSES, "from -1 to 2"),
        (BYTES, spoilt(CLASSES, 3), "from 0 to 3; allowed are 0 to 2"),
        (BYTES, spoilt(CLASSES, -1), "from -1 to 2; allowed are 0 to 2"),
        (BYTES, spoilt(CLASSES, 2**32), "to 4294967296; allowed are 0 to 2"),
        (BYTES, spoilt(rows(CLASSES), 2 / 3), "no probabilities of 3 classes"),
    ],
)
def test_a_bad_batch_is_refused_before_its_step(images, classes, message, after_one_step):
    network = fresh()
    with pytest.raises(DataError, match=message):
        SubnetTrainer(network, steps=4).train(dataset(images, classes))
    for one, other in zip(network.get_weights(), after_one_step, strict=True):
        np.testing.assert_array_equal(one, other)


def test_supernets_refuse_bad_batches_too(supernet):
    for images, classes in ((np.float32(BYTES), CLASSES), (BYTES, CLASSES + 1)):
        with pytest.raises(DataError, match="reach from"):
            supernet.train(dataset(images, classes), SPACE)


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        (np.float32(CLASSES), "float32"),
        (CLASSES == 1, "bool"),
        (np.array(["cat", "dog", "cow"])[CLASSES], ""),
        (np.int32(rows(CLASSES)), "int32"),
        (CLASSES[:, None], "int64"),
    ],
)
def test_classes_that_are_no_whole_numbers_are_refused_as_arrays_and_as_datasets(classes, told):
    for make in (
        lambda: batches(BYTES, classes, 16),
        lambda: DatasetBatches(dataset(BYTES, classes)),
    ):
        with pytest.raises(DataError, match=rf"^The classes are .*{told}.*whole number"):
            make()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.uint32, np.int64, np.uint64])
def test_classes_of_any_width_are_classes(dtype):
    for data in (batches(BYTES, CLASSES.astype(dtype), 64), DatasetBatches(
        tf.data.Dataset.from_tensors((BYTES, CLASSES.astype(dtype)))
    )):  # fmt: skip
        _, classes = next(iter(data.epoch(0)))
        np.testing.assert_array_equal(sorted(classes.numpy()), sorted(CLASSES))


def test_more_classes_than_any_network_may_have_are_refused():
    with pytest.raises(DataError, match="to 65536; allowed are 0 to 65535"):
        batches(BYTES, np.where(CLASSES == 1, 65_536, 0), 16)


def test_datasets_of_another_shape_are_refused_before_training():
    with pytest.raises(DataError, match=r"\(n, 7, 8, 1\), the network takes \(n, 8, 8, 1\)"):
        train_subnet(fresh(), dataset(BYTES[:, 1:]), 1)
