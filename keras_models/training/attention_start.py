"""Attention that starts near what training finds, instead of at random."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from mcuformer_tflm.keras_models.layers.attention import Attention
from mcuformer_tflm.keras_models.subnet import Subnet
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.low_rank import initialise_low_rank

# Shares of noise and of the identity in the products that Trockman and Kolter give.
_QUERY_KEY = (0.7, 0.7)
_VALUE_PROJECTION = (0.4, -0.4)
# Rows and columns to the patch that a head looks at. The residual brings the patch itself.
_NEIGHBOURS = tuple(
    place for place in itertools.product((-1, 0, 1), repeat=2) if place != (0, 0)
)  # fmt: skip
# Of a supernet, whose subnets have the leading heads: few of them look to opposite sides.
_OPPOSITES = ((0, -1), (0, 1), (-1, 0), (1, 0), (-1, -1), (1, 1), (-1, 1), (1, -1))
# Beyond this distance squared, in patches, nothing is left to tell apart.
_FARTHEST = 25


def initialise_attention(
    network: Subnet | Supernet, seed: int = 0, *, strength: float = 1.0
) -> None:
    """Gives attention the structure that it has after long training, in place.

    The products of queries with keys, and of values with the projection, start as noise plus a
    multiple of the identity (Trockman and Kolter, Mimetic Initialization, 2023). Where heads
    have a relative position bias, each starts by looking at one neighbouring patch, so that the
    layer is near a 3x3 convolution over patches (d'Ascoli et al., ConViT, 2021): head h looks at
    neighbour h mod 8, in reading order. Small data sets and short runs gain most.

    Of a supernet every subnet has it: leading rows of such products are such products, as much
    weaker as the subnet is narrower, leading columns are the best of their rank, and heads look
    to opposite sides in turn, so that two of them already do. Matrices of low rank start as the
    pairs that are nearest to such (``low_rank_pair``).

    Args:
        network: In floating point, before training.
        seed: Of the noise.
        strength: Nats that a head's logits lose for each patch of distance squared.
    """
    whole = network.largest if isinstance(network, Supernet) else network.architecture
    neighbours = _OPPOSITES if isinstance(network, Supernet) else _NEIGHBOURS
    layers = {layer.name: layer for layer in network.operators()}
    rng = np.random.default_rng(seed)
    for block in range(whole.depth):
        qkv, projected = _mimicking(
            whole.embed_dim, whole.attention_dim(block), whole.num_heads[block], rng
        )
        for name, kernel in ((f"block_{block}_qkv", qkv), (f"block_{block}_projection", projected)):
            if whole.low_rank_attention:
                initialise_low_rank(network, {name: (kernel, np.zeros(kernel.shape[1]))})
            else:
                layers[name].kernel.assign(kernel)
        attention = layers[f"block_{block}_attention"]
        if attention.grid is not None:
            _look_around(attention, attention.grid, neighbours, strength)


def _mimicking(
    width: int, attention_dim: int, num_heads: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    # Queries, keys and values side by side, [width, 3 * attention_dim], and the projection.
    parts = np.zeros((3, width, attention_dim))
    for columns in np.split(np.arange(attention_dim), num_heads):
        query, key = _factors(_QUERY_KEY, width, len(columns), rng)
        parts[0][:, columns], parts[1][:, columns] = query, key.T
    parts[2], projected = _factors(_VALUE_PROJECTION, width, attention_dim, rng)
    return np.concatenate(parts, axis=1), projected


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


def _look_around(
    layer: Attention, grid: tuple[int, int], neighbours: Sequence[tuple[int, ...]], strength: float
) -> None:
    bias = layer.relative_bias.numpy()
    # Rows and columns from the key to the query, in the order of the bias.
    rows, columns = (np.arange(1 - size, size) for size in grid)
    for head, (row, column) in zip(bias, itertools.cycle(neighbours), strict=False):
        squared = (rows[:, None] + row) ** 2 + (columns + column) ** 2
        head[: squared.size] = -strength * np.minimum(squared, _FARTHEST).ravel()
    layer.relative_bias.assign(bias)
