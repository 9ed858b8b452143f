"""Sizes foretold of subnets with every option drawn equal those of the converted models.

``make sizes`` draws 200; a plain run of the tests some of them.
"""

import os

import numpy as np
import pytest

from mcuformer_tflm import Architecture, QuantizationConfig, convert, plan_memory
from mcuformer_tflm.keras_models.quantization.quantizers import CalibratedQuantizer
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
from mcuformer_tflm.plan.skeleton import skeleton_graph
from mcuformer_tflm.search.cost.activation_memory import arena_bytes
from mcuformer_tflm.search.cost.memory import num_parameters, weight_bytes
from mcuformer_tflm.search.cost.model_file import model_bytes
from mcuformer_tflm.search.cost.schedule import kept_arena_bytes
from mcuformer_tflm.tflite.model_graph import read_graph

NUMBER = int(os.environ.get("MCUFORMER_RANDOM_SUBNETS", "8"))


def drawn(rng):
    """Returns an architecture and widths with every option drawn."""

    def one_of(*values):
        return values[rng.integers(len(values))]

    def whole(low, high, count=None):
        found = rng.integers(low, high, count)
        return int(found) if count is None else tuple(map(int, found))

    depth, stem, low_rank = whole(1, 4), one_of("patch", "conv"), one_of(False, True)
    patch = one_of(4, 8) if stem == "conv" else whole(2, 7)
    architecture = Architecture(
        image_size=whole(patch, 6 * patch, 2), channels=whole(1, 5), num_classes=whole(2, 12),
        patch_size=patch, stem=stem, head_dim=whole(2, 12), embed_dim=whole(6, 40),
        rank_ratio=one_of(0.4, 0.7, 1.0) if low_rank else one_of(None, 0.5),
        num_heads=whole(1, 4, depth), mlp_ratio=tuple(one_of(1.0, 1.5, 3.25) for _ in range(depth)),
        low_rank_attention=low_rank, relative_position=one_of(False, True),
        pooling=one_of("mean", "class_token"),
    )  # fmt: skip
    return architecture, QuantizationConfig(one_of(4, 8), one_of(8, 16))


def quantized(architecture, config, rng):
    """Returns a network of random weights and ranges: calibration would change no size."""
    network = build_subnet(architecture, config)
    for layer in network.operators():
        for weight in layer.trainable_weights:
            weight.assign(rng.uniform(-1, 1, weight.shape))
        for name, quantizer in layer._quantizers.items():
            if isinstance(quantizer, CalibratedQuantizer):
                high = rng.uniform(1, 4)
                low = high if quantizer.symmetric else rng.uniform(1, 4)
                layer._ranges[name]["min_var"].assign(-low)
                layer._ranges[name]["max_var"].assign(high)
    network.update_weight_ranges()
    return network


@pytest.mark.parametrize("seed", range(NUMBER))
def test_arena_and_file_are_those_of_the_converted_model(seed):
    rng = np.random.default_rng(seed)
    arch, config = drawn(rng)
    network = quantized(arch, config, rng)
    labels = [f"class {number}" for number in range(arch.num_classes)]
    image = ("whole", "strips")[seed % 2]
    model = convert(network, labels, image=image)
    graph, plan = read_graph(model), plan_memory(model)
    assert cortex_m_arena_bytes(graph, plan) == arena_bytes(arch, image, quantization=config)
    assert len(model) == model_bytes(arch, labels, quantization=config)
    assert sum(len(tensor.data) for tensor in graph.tensors) == weight_bytes(arch, config)
    skeleton = skeleton_graph(arch, image, quantization=config)
    assert len(skeleton.tensors) == len(graph.tensors)
    assert plan_memory(skeleton).head_bytes == plan.head_bytes
    kept = convert(network, labels, image=image, schedule="kept")
    arena = cortex_m_arena_bytes(read_graph(kept), plan_memory(kept))
    assert arena == kept_arena_bytes(arch, range(arch.depth), image=image, quantization=config)
    if arch.stem == "patch":  # the other's gains are within its quantized kernels
        trainable = sum(weight.shape.num_elements() for weight in network.trainable_weights)
        assert trainable == num_parameters(arch)
