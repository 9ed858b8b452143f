import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mcuformer_tflm import convert
from mcuformer_tflm.convert import layer_constants
from mcuformer_tflm.convert.builtin import convert_builtin
from mcuformer_tflm.data.image_data import normalise
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError, ModelError
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.keras_models.training.trainers import predict
from mcuformer_tflm.referee.referee import Referee, run_tflite
from mcuformer_tflm.referee.stock_network import stock_network
from mcuformer_tflm.runtime.builtin_interpreter import BuiltinInterpreter

# The projection is square, so that nothing but its values tells that it is transposed.
ARCHITECTURE = Architecture(
    image_size=28, channels=1, num_classes=10, patch_size=7, rank_ratio=None, head_dim=16,
    embed_dim=32, num_heads=(2,), mlp_ratio=(2.0,),
)  # fmt: skip
SMALL = dataclasses.replace(ARCHITECTURE, image_size=10, patch_size=4, num_classes=4)


def random_subnet(architecture, seed=1):
    tf_keras.utils.set_random_seed(seed)
    subnet = build_subnet(architecture)
    rng = np.random.default_rng(seed)
    for weight in subnet.trainable_weights:
        weight.assign_add(0.1 * rng.standard_normal(weight.shape))
    return subnet


@pytest.fixture(scope="module")
def network(fashion_mnist):
    return random_subnet(ARCHITECTURE).quantized_copy([normalise(fashion_mnist.train_images[:128])])


@pytest.fixture(scope="module")
def judge(network, fashion_mnist):
    judging = Referee(network, fashion_mnist.train_images[:128])
    images, classes = fashion_mnist.test_images[:200], fashion_mnist.test_classes[:200]
    return lambda model: judging.judge(model, images, classes), judging


def test_exported_model_is_as_near_to_float_as_tflite_comes(judge, network, fashion_mnist):
    verdict = judge[0](convert(network, fashion_mnist.labels))
    assert verdict.faults() == []
    verdict.check()
    assert verdict.float_tflite.agreement == 1.0
    assert verdict.int8_tflite.agreement > 0.9
    assert verdict.float_keras.top1 == verdict.float_tflite.top1


def transposed(weights, *bits):
    square = weights.shape[0] == weights.shape[1]
    return pack_weights(weights.T if square else weights, *bits)


def too_small(bias, multipliers, shifts):
    return unit_constants(bias, (multipliers * 0.8).astype(np.int32), shifts)


def without_bias(bias, multipliers, shifts):
    return unit_constants(np.zeros_like(bias), multipliers, shifts)


pack_weights = layer_constants.pack_weights
unit_constants = layer_constants.unit_constants


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("pack_weights", transposed),
        ("unit_constants", too_small),
        ("unit_constants", without_bias),
    ],
    ids=["transposed", "scale", "bias"],
)
def test_wrong_exporter_is_found_out(judge, network, fashion_mnist, monkeypatch, name, wrong):
    monkeypatch.setattr(layer_constants, name, wrong)
    model = convert(network, fashion_mnist.labels)
    with pytest.raises(ModelError, match="our int8 logits have"):
        judge[0](model).check()


def test_tflites_int8_model_runs_in_tflm_alike(judge, fashion_mnist):
    interpreter = BuiltinInterpreter(judge[1].int8_model)
    images = fashion_mnist.test_images[:50]
    integers = interpreter.run((images.astype(np.int16) - 128).astype(np.int8))
    scale, zero_point = interpreter.output_scale
    there = scale * (integers.astype(np.float32) - zero_point)
    here = run_tflite(judge[1].int8_model, normalise(images))
    # TFLite's own kernels and TFLM's round differently here and there.
    assert np.abs(there - here).mean() < 2 * scale
    assert interpreter.arena_bytes is None  # RSQRT and others: only measured, on this machine


@pytest.mark.parametrize(
    "changed",
    [
        {"rank_ratio": 0.5},
        {"rank_ratio": 0.5, "low_rank_attention": True},
        {"relative_position": True, "image_size": (10, 14)},
        {"pooling": "class_token", "relative_position": True, "num_heads": (1, 3),
         "mlp_ratio": (2.0, 1.5)},
        {"stem": "conv", "image_size": (11, 14)},
    ],
    ids=["low rank", "all low rank", "relative", "class token", "convolutional stem"],
)  # fmt: skip
def test_stock_network_is_the_same_function(changed):
    subnet = random_subnet(dataclasses.replace(SMALL, **changed))
    images = (
        np.random.default_rng(0).uniform(-1, 1, (4, *subnet.input_shape[1:])).astype(np.float32)
    )
    np.testing.assert_allclose(
        predict(stock_network(subnet), images), predict(subnet, images), atol=1e-5
    )


def test_convolutional_stem_of_quantized_networks_has_plain_kernels():
    conv = dataclasses.replace(SMALL, stem="conv")
    subnet = random_subnet(conv)
    images = np.random.default_rng(0).uniform(-1, 1, (4, 10, 10, 1)).astype(np.float32)
    quantized = subnet.quantized_copy([images])
    wanted = predict(subnet, images)
    np.testing.assert_allclose(predict(quantized.float_copy(), images), wanted, atol=1e-5)
    np.testing.assert_allclose(predict(stock_network(quantized), images), wanted, atol=1e-5)


def test_too_few_or_wrong_calibration_images_are_told():
    model = stock_network(random_subnet(SMALL))
    with pytest.raises(DataError, match="at least 32"):
        convert_builtin(model, np.zeros((31, 10, 10, 1), np.float32))
    with pytest.raises(DataError, match=r"takes \(n, 10, 10, 1\)"):
        convert_builtin(model, np.zeros((40, 9, 10, 1), np.float32))


def test_operator_that_tflite_lacks_is_told():
    image = tf_keras.Input((4, 4, 1))
    model = tf_keras.Model(image, tf.linalg.det(image[..., 0])[:, None], name="determinant")
    with pytest.raises(ConfigError, match="TFLite cannot convert determinant: it has no"):
        convert_builtin(model, np.zeros((40, 4, 4, 1), np.float32))
