"""What a network may be, told when it is described."""

import dataclasses
import re
from pathlib import Path

import pytest
import tf_keras

from mcuformer_tflm.custom_ops.reference import attention, fully_connected, layer_norm, patch_embed
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.search.space import SearchSpace

SMALL = Architecture(
    image_size=32, channels=1, num_classes=10, patch_size=8, rank_ratio=None, head_dim=8,
    embed_dim=16, num_heads=(1, 2), mlp_ratio=(1.0, 2.0),
)  # fmt: skip
# The largest that the int8 operators take, and the smallest that they do not.
LIMITS = {
    "tokens": (
        {"image_size": (32, 64), "patch_size": 1}, {"image_size": (33, 64), "patch_size": 1},
    ),
    "values a patch": (
        {"image_size": 256, "patch_size": 256}, {"image_size": 257, "patch_size": 257},
    ),
    "channels of an image": (
        {"stem": "conv", "channels": 7_281}, {"stem": "conv", "channels": 7_282},
    ),
    "classes": ({"num_classes": 65_536}, {"num_classes": 65_537}),
    "values a head": ({"head_dim": 512}, {"head_dim": 513}),
    "values a token": ({"embed_dim": 1024}, {"embed_dim": 1025}),
    "heads": ({"num_heads": (1, 512)}, {"num_heads": (1, 513)}),
    "queries, keys and values a token": (
        {"head_dim": 257, "num_heads": (1, 85)}, {"head_dim": 257, "num_heads": (1, 86)},
    ),
    "hidden values a token": ({"mlp_ratio": (1.0, 4096.0)}, {"mlp_ratio": (1.0, 4096.1)}),
}  # fmt: skip


@pytest.mark.parametrize("what", LIMITS)
def test_sizes_that_no_operator_takes_are_refused_at_once(what):
    allowed, refused = LIMITS[what]
    dataclasses.replace(SMALL, **allowed)
    with pytest.raises(ConfigError, match=rf"^(\w+) is .* {what}; the int8 operators take at most"):
        dataclasses.replace(SMALL, **refused)


def test_an_mlp_without_hidden_values_is_refused_at_once():
    dataclasses.replace(SMALL, mlp_ratio=(1.0, 0.04))
    with pytest.raises(ConfigError, match=r"mlp_ratio is .* hidden width of 0"):
        dataclasses.replace(SMALL, mlp_ratio=(1.0, 0.03))
    for ratio in (float("nan"), float("inf"), -1.0):
        with pytest.raises(ConfigError, match="mlp_ratio"):
            dataclasses.replace(SMALL, mlp_ratio=(1.0, ratio))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch_size": (1, 4), "image_size": 64}, "4,096 tokens"),
        ({"num_classes": 70_000}, "70,000 classes"),
        ({"embed_dim": (16, 1040)}, "1,040 values a token"),
        ({"mlp_ratio": (0.01, 1.0)}, "hidden width of 0"),
    ],
)
def test_a_space_with_such_a_network_is_refused_when_it_is_described(change, message):
    fields = {
        "image_size": 32, "channels": 1, "num_classes": 10, "patch_size": (4, 8),
        "rank_ratio": (0.5,), "embed_dim": (16, 32), "depth": (1, 2), "num_heads": (1, 2),
        "mlp_ratio": (1.0, 2.0), "head_dim": 8,
    }  # fmt: skip
    SearchSpace(**fields)
    with pytest.raises(ConfigError, match=message):
        SearchSpace(**fields | change)


@pytest.mark.parametrize(
    ("file", "constant", "twin"),
    [
        ("kernels/attention.h", "kAttentionMaxTokens", attention.MAX_TOKENS),
        ("kernels/layer_norm.h", "kLayerNormMaxWidth", layer_norm.MAX_WIDTH),
        ("tflm/attention.cc", "kMaxHeads", attention.MAX_HEADS),
        ("tflm/attention.cc", "kMaxHeadDim", attention.MAX_HEAD_DIM),
        ("tflm/node.h", "kMaxLayerWidth", fully_connected.MAX_WIDTH),
        ("tflm/patch_embed.cc", "kMaxPatchValues", patch_embed.MAX_PATCH_VALUES),
    ],
)
def test_limits_are_those_of_the_operators(file, constant, twin):
    source = (Path(attention.__file__).parents[1] / file).read_text()
    (value,) = re.findall(rf"constexpr int {constant} = ([\d <]+);", source)
    factors = [int(part) for part in value.split("<<")]
    assert twin == (factors[0] if len(factors) == 1 else factors[0] << factors[1])


@pytest.fixture
def keras_settings():
    yield
    tf_keras.backend.set_floatx("float32")
    tf_keras.mixed_precision.set_global_policy(None)


@pytest.mark.parametrize(
    "change",
    [
        lambda: tf_keras.mixed_precision.set_global_policy("mixed_float16"),
        lambda: tf_keras.mixed_precision.set_global_policy("mixed_bfloat16"),
        lambda: tf_keras.mixed_precision.set_global_policy("float64"),
        lambda: tf_keras.backend.set_floatx("float16"),
    ],
)
def test_networks_of_another_global_precision_are_refused_at_once(change, keras_settings):
    build_subnet(SMALL)
    change()
    for build in (build_subnet, Supernet):
        with pytest.raises(ConfigError, match=r"^The global policy of tf_keras is '\w*float"):
            build(SMALL)
