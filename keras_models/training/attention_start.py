"""Attention that starts near what training finds, instead of at random."""

from __future__ import annotations

import itertools

import numpy as np

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.layers.attention import Attention
from mcuformer_tflm.keras_models.layers.fully_connected import FullyConnected
from mcuformer_tflm.keras_models.subnet import Subnet

# Shares of noise and of the identity in the products that Trockman and Kolter give.
_QUERY_KEY = (0.7, 0.7)
_VALUE_PROJECTION = (0.4, -0.4)
# Rows and columns to the patch that a head looks at. The residual brings the patch itself.
_NEIGHBOURS = tuple(
    place for place in itertools.product((-1, 0, 1), repeat=2) if place != (0, 0)
)  # fmt: skip
# Beyond this distance squared, in patches, nothing is left to tell apart.
_FARTHEST = 25


def initialise_attention(subnet: Subnet, seed: int = 0, *, strength: float = 1.0) -> None:
    """Gives attention the structure that it has after long training, in place.

    The products of queries with keys, and of values with the projection, start as noise plus a
    multiple of the identity (Trockman and Kolter, Mimetic Initialization, 2023). Where heads
    have a relative position bias, each starts by looking at one neighbouring patch, so that the
    layer is near a 3x3 convolution over patches (d'Ascoli et al., ConViT, 2021): head h looks at
    neighbour h mod 8, in reading order. Small data sets and short runs gain most.

    Args:
        subnet: A float network before training.
        seed: Of the noise.
        strength: Nats that a head's logits lose for each patch of distance squared.

    Raises:
        ConfigError: If attention's matrices are of low rank.
    """
    if subnet.architecture.low_rank_attention:
        raise ConfigError("low_rank_attention is true; the structure needs whole matrices.")
    layers = {layer.name: layer for layer in subnet.operators()}
    rng = np.random.default_rng(seed)
    for block in range(subnet.architecture.depth):
        qkv, projection = layers[f"block_{block}_qkv"], layers[f"block_{block}_projection"]
        _mimic(qkv, projection, subnet.architecture.num_heads[block], rng)
        attention = layers[f"block_{block}_attention"]
        if attention.grid is not None:
            _look_around(attention, attention.grid, strength)


def _mimic(
    qkv: FullyConnected, projection: FullyConnected, num_heads: int, rng: np.random.Generator
) -> None:
    width, units = qkv.kernel.shape
    attention_dim = units // 3
    parts = np.zeros((3, width, attention_dim))
    for columns in np.split(np.arange(attention_dim), num_heads):
        query, key = _factors(_QUERY_KEY, width, len(columns), rng)
        parts[0][:, columns], parts[1][:, columns] = query, key.T
    parts[2], projected = _factors(_VALUE_PROJECTION, width, attention_dim, rng)
    qkv.kernel.assign(np.concatenate(parts, axis=1))
    projection.kernel.assign(projected)


def _factors(
    shares: tuple[float, float], width: int, rank: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    # [width, rank] and [rank, width], whose product is nearest to noise plus identity.
    noise, identity = shares
    wanted = noise * rng.normal(size=(width, width)) / width**0.5 + identity * np.eye(width)
    left, values, right = np.linalg.svd(wanted)
    root, missing = np.sqrt(values[:rank]), max(0, rank - width)
    first, second = left[:, :rank] * root, root[:, None] * right[:rank]
    # Where there are more columns than the product needs, they start without effect, but not
    # all at zero: that would be without gradient as well.
    spare = rng.normal(size=(width, missing)) / width**0.5
    return np.concatenate([first, spare], 1), np.pad(second, [[0, missing], [0, 0]])


def _look_around(layer: Attention, grid: tuple[int, int], strength: float) -> None:
    bias = layer.relative_bias.numpy()
    # Rows and columns from the key to the query, in the order of the bias.
    rows, columns = (np.arange(1 - size, size) for size in grid)
    for head, (row, column) in zip(bias, itertools.cycle(_NEIGHBOURS), strict=False):
        squared = (rows[:, None] + row) ** 2 + (columns + column) ** 2
        head[: squared.size] = -strength * np.minimum(squared, _FARTHEST).ravel()
    layer.relative_bias.assign(bias)
