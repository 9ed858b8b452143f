import dataclasses

import numpy as np
import pytest

from mcuformer_tflm import convert
from mcuformer_tflm.emulator.toolchain import operator_code_bytes
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.search.cost.memory import code_bytes, flash_bytes, weight_bytes
from mcuformer_tflm.search.cost.model_file import LABEL_BYTES, model_bytes
from mcuformer_tflm.search.space import FASHION_MNIST_SPACE
from mcuformer_tflm.tflite.model_graph import read_graph

_ODD = Architecture(
    image_size=22, channels=3, num_classes=7, patch_size=5, rank_ratio=0.7, head_dim=7,
    embed_dim=21, num_heads=(1,) * 11, mlp_ratio=(1.5, 2.25) + (1.0,) * 9,
)  # fmt: skip
_NETWORKS = {
    "drawn": FASHION_MNIST_SPACE.sample(np.random.default_rng(1)),
    "eleven_odd_blocks": _ODD,
    "relative_positions": dataclasses.replace(
        _ODD, relative_position=True, num_heads=(3, 2), mlp_ratio=(2.0, 1.0)
    ),
    "class_token": dataclasses.replace(_ODD, pooling="class_token"),
    "convolutional_stem": dataclasses.replace(
        _ODD, stem="conv", patch_size=16, num_heads=(3,), mlp_ratio=(2.0,)
    ),
    "whole_matrices": dataclasses.replace(
        _ODD, rank_ratio=None, num_heads=(3, 2), mlp_ratio=(2.0, 1.0)
    ),
}


@pytest.mark.parametrize("network", _NETWORKS.values(), ids=_NETWORKS.keys())
def test_models_size_is_known_from_the_architecture_alone(network):
    rng = np.random.default_rng(0)
    subnet = build_subnet(network)
    for weight in subnet.trainable_weights:
        weight.assign_add(0.02 * rng.standard_normal(weight.shape))
    shape = (2, *network.image_shape)
    quantized = subnet.quantized_copy([rng.uniform(-1, 1, shape).astype(np.float32)])
    labels = [f"name of {number}, ä" for number in range(network.num_classes)]
    for image in ("whole", "strips"):
        model = convert(quantized, labels, image=image)
        constants = sum(len(tensor.data) for tensor in read_graph(model).tensors)
        assert constants == weight_bytes(network)
        assert model_bytes(network, labels) == len(model)


def test_unknown_labels_count_a_fixed_length(architecture):
    labels = [f"{number:0{LABEL_BYTES - 1}}" for number in range(architecture.num_classes)]
    named = model_bytes(architecture, labels)
    assert model_bytes(architecture) == named == flash_bytes(architecture)


def test_code_takes_no_more_flash_than_is_counted():
    measured = operator_code_bytes("cortex-m7")
    assert measured <= code_bytes("cortex-m7") <= 1.5 * measured, "mcuformer bench memory tells it"
