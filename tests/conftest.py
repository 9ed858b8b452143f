import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Helpers shared by test folders (one_op_model, on_cortex_m) lie beside this file.
sys.path.insert(0, str(Path(__file__).parent / "helpers"))

import numpy as np
import pytest
from hypothesis import settings

from mcuformer_tflm import data as datasets
from mcuformer_tflm.keras_models.architecture import Architecture

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=25)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def fashion_mnist():
    return datasets.fashion_mnist()


@pytest.fixture(scope="session")
def architecture():
    return Architecture(
        image_size=28, channels=1, num_classes=10, patch_size=7, rank_ratio=0.8, head_dim=16,
        embed_dim=32, num_heads=(2, 3), mlp_ratio=(2.0, 3.0),
    )  # fmt: skip


@pytest.fixture(scope="session")
def subnet(architecture):
    """A float network of random weights."""
    import tf_keras

    from mcuformer_tflm.keras_models.subnet import build_subnet

    tf_keras.utils.set_random_seed(1)
    subnet = build_subnet(architecture)
    rng = np.random.default_rng(0)
    for weight in subnet.trainable_weights:
        weight.assign_add(0.02 * rng.standard_normal(weight.shape))
    return subnet


@pytest.fixture(scope="session")
def quantized(subnet, fashion_mnist):
    """The same network quantized, calibrated on real images."""
    return subnet.quantized_copy([datasets.normalise(fashion_mnist.train_images[:128])])


@pytest.fixture(scope="session")
def model(quantized, fashion_mnist):
    from mcuformer_tflm import convert

    return convert(quantized, fashion_mnist.labels)


@pytest.fixture(scope="session")
def interpreter(model):
    from mcuformer_tflm import MicroInterpreter

    return MicroInterpreter(model)
