"""What is trained is what runs: the quantized tf_keras network and TFLM on real images."""

import dataclasses

import numpy as np
import pytest
import tf_keras

from mcuformer_tflm import MicroInterpreter, TrainingRecipe, convert, quantize, quantize_images
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.keras_models.training.trainers import batches, predict, train_subnet

TEST_IMAGES = 1_000


@pytest.fixture(scope="module")
def trained(architecture, fashion_mnist):
    tf_keras.utils.set_random_seed(0)
    # A block stands for several: what takes long is tracing its integers.
    subnet = build_subnet(dataclasses.replace(architecture, num_heads=(3,), mlp_ratio=(3.0,)))
    data = batches(fashion_mnist.train_images[:10_000], fashion_mnist.train_classes[:10_000], 128)
    train_subnet(subnet, data, 3, recipe=TrainingRecipe(learning_rate=4e-3))
    return subnet


def logits_of(network, fashion_mnist):
    """Logits in steps of the output: of the tf_keras network, and of TFLM."""
    interpreter = MicroInterpreter(convert(network, fashion_mnist.labels))
    output = interpreter.graph.tensors[interpreter.graph.outputs[0]]
    images = fashion_mnist.test_images[:TEST_IMAGES]
    simulated = predict(network, images) / output.scale + output.zero_point
    return np.rint(simulated), interpreter.run(quantize_images(images))


def top1(logits, fashion_mnist):
    return np.mean(logits.argmax(-1) == fashion_mnist.test_classes[:TEST_IMAGES])


def test_trained_logits_are_those_of_tflm_bit_for_bit(trained, fashion_mnist):
    network = quantize(
        trained, fashion_mnist.train_images[:2_560], fashion_mnist.train_classes[:2_560]
    )
    simulated, run = logits_of(network, fashion_mnist)
    np.testing.assert_array_equal(simulated, run)
    floats = predict(trained, fashion_mnist.test_images[:TEST_IMAGES])
    assert top1(run, fashion_mnist) >= max(0.75, top1(floats, fashion_mnist) - 0.01)


@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize("percentile", [100, 99.99])
def test_calibration_alone_loses_little(trained, fashion_mnist, percentile):
    network = quantize(trained, fashion_mnist.train_images, epochs=0, percentile=percentile)
    simulated, run = logits_of(network, fashion_mnist)
    np.testing.assert_array_equal(simulated, run)
    floats = predict(trained, fashion_mnist.test_images[:TEST_IMAGES])
    assert top1(run, fashion_mnist) >= top1(floats, fashion_mnist) - 0.02
