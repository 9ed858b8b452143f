"""A factored network is the nearest of its rank to the whole one."""

import dataclasses

import numpy as np
import pytest

from mcuformer_tflm import ConfigError, QuantizationConfig, build_subnet, factorise
from mcuformer_tflm.keras_models.architecture import Architecture

WHOLE = Architecture(
    image_size=8, channels=1, num_classes=3, patch_size=4, rank_ratio=None, head_dim=4,
    embed_dim=12, num_heads=(2,), mlp_ratio=(3.0,), pooling="class_token",
)  # fmt: skip
MLP, ATTENTION = ("fc1", "fc2"), ("qkv", "projection")


@pytest.fixture(scope="module")
def subnet():
    subnet = build_subnet(WHOLE)
    rng = np.random.default_rng(0)
    for weight in subnet.trainable_weights:
        weight.assign_add(0.2 * rng.standard_normal(weight.shape))
    return subnet


@pytest.fixture(params=[False, True], ids=["mlp", "attention_too"])
def both(request):
    return request.param


def test_of_full_rank_it_computes_the_same(subnet, both):
    images = np.random.default_rng(1).uniform(-1, 1, (3, 8, 8, 1)).astype(np.float32)
    factored = factorise(subnet, 1, low_rank_attention=both)
    assert factored.architecture == dataclasses.replace(
        WHOLE, rank_ratio=1.0, low_rank_attention=both
    )
    np.testing.assert_allclose(factored(images), subnet(images), atol=1e-5)


def test_no_pair_of_its_rank_is_nearer_and_all_else_stays(subnet, both):
    factored = factorise(subnet, 0.5, low_rank_attention=both)
    layers = {layer.name: layer for layer in factored.operators()}
    paired = set()
    for layer in subnet.operators():
        if layer.name in layers:
            for ours, theirs in zip(layer.get_weights(), layers[layer.name].get_weights(),
                                    strict=True):  # fmt: skip
                np.testing.assert_array_equal(ours, theirs)
            continue
        paired.add(layer.name)
        u, v = layers[f"{layer.name}_u"], layers[f"{layer.name}_v"]
        assert u.units == 6
        np.testing.assert_array_equal(u.bias, np.zeros(6))
        np.testing.assert_array_equal(v.bias, layer.bias)
        # Eckart and Young: what is left are the singular values beyond the rank.
        distance = np.linalg.norm(layer.kernel - u.kernel.numpy() @ v.kernel.numpy())
        values = np.linalg.svd(layer.kernel.numpy(), compute_uv=False)
        np.testing.assert_allclose(distance, np.linalg.norm(values[6:]), atol=1e-5)
    parts = MLP + ATTENTION if both else MLP
    assert paired == {f"block_0_{part}" for part in parts}


def test_what_cannot_be_factored_is_refused(subnet):
    with pytest.raises(ConfigError, match="rank_ratio is 0; it must be"):
        factorise(subnet, 0)
    with pytest.raises(ConfigError, match="subnet is a str; give one of the networks"):
        factorise("subnet", 0.5)
    with pytest.raises(ConfigError, match=r"subnet has a rank_ratio of 0\.5 already"):
        factorise(factorise(subnet, 0.5), 0.5)
    quantized = build_subnet(WHOLE, QuantizationConfig())
    with pytest.raises(ConfigError, match="subnet is quantized; factorise the float network"):
        factorise(quantized, 0.5)
