import dataclasses

import numpy as np
import pytest

from mcuformer_tflm.keras_models.quantization.config import INT8, QuantizationConfig
from mcuformer_tflm.search.cost.activation_memory import arena_bytes
from mcuformer_tflm.search.cost.memory import eq5_bytes, flash_bytes
from mcuformer_tflm.search.cost.subnet_memory import EncodedSubnets, SubnetMemory
from mcuformer_tflm.search.space import FASHION_MNIST_SPACE, SearchSpace

# Ratios that take more and fewer characters in the file; widths that fill no block.
ODD = dataclasses.replace(
    FASHION_MNIST_SPACE, embed_dim=(33, 50), mlp_ratio=(2.0, 2.125), num_heads=(1, 10),
    depth=(1, 11), patch_size=(5, 7),
)  # fmt: skip
OPTIONS = dataclasses.replace(
    ODD, image_size=(28, 21), low_rank_attention=True, relative_position=True, pooling="class_token"
)
STEMS = dataclasses.replace(
    ODD, patch_size=(3, 4, 8), stem=("patch", "conv"), head_dim=(3, 8, 12)
)  # fmt: skip


@pytest.mark.parametrize(
    "space",
    [SearchSpace(), FASHION_MNIST_SPACE, ODD, OPTIONS, STEMS],
    ids=["paper", "demo", "odd", "all options", "both stems, three heads"],
)
@pytest.mark.parametrize("image", ["whole", "strips"])
@pytest.mark.parametrize("quantization", [INT8, QuantizationConfig(4, 16)], ids=["int8", "4_16"])
def test_tables_equal_the_functions_of_one_subnet(space, image, quantization):
    subnets = EncodedSubnets.sample(space, 300, np.random.default_rng(1))
    found = SubnetMemory(space, image, quantization=quantization).evaluate(subnets)
    for index in range(len(subnets)):
        network = subnets.decode(space, index)
        assert space.contains(network)
        assert found.eq5[index] == eq5_bytes(network)
        assert found.arena[index] == arena_bytes(network, image, quantization=quantization)
        assert found.flash[index] == flash_bytes(network, quantization=quantization)
