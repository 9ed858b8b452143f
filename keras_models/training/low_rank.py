"""Low-rank pairs (Eq. 1) that start from trained full matrices."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.layers.fully_connected import FullyConnected
from mcuformer_tflm.keras_models.subnet import Subnet
from mcuformer_tflm.keras_models.supernet import Supernet

_MATRICES = ("_qkv", "_projection", "_fc1", "_fc2")


def low_rank_pair(matrix: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pair whose product is nearest to a matrix, by truncated SVD.

    The singular values are shared out evenly between both factors and fall from left to
    right, so that the first k columns of U and rows of V are the best pair of rank k as well:
    a supernet's smaller subnets start well, too.

    Args:
        matrix: float[width, units].
        rank: Of the pair.

    Returns:
        U, float32[width, rank], and V transposed, float32[rank, units]; columns and rows
        beyond the matrix' own rank are zero.

    Raises:
        ConfigError: If ``rank`` is below 1.
    """
    if rank < 1:
        raise ConfigError(f"rank is {rank}; it must be at least 1.")
    left, values, right = np.linalg.svd(np.asarray(matrix, np.float64), full_matrices=False)
    root = np.sqrt(values[:rank])
    u, v = left[:, :rank] * root, root[:, None] * right[:rank]
    missing = rank - len(root)
    u, v = np.pad(u, [[0, 0], [0, missing]]), np.pad(v, [[0, missing], [0, 0]])
    return u.astype(np.float32), v.astype(np.float32)


def full_matrices(network: Supernet | Subnet) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns kernel and bias of every whole matrix by name, for ``initialise_low_rank``.

    Args:
        network: A trained network whose ``rank_ratio`` is None.
    """
    return {
        layer.name: (layer.kernel.numpy(), layer.bias.numpy())
        for layer in network.operators()
        if isinstance(layer, FullyConnected) and layer.name.endswith(_MATRICES)
    }


def initialise_low_rank(
    network: Supernet | Subnet, matrices: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> None:
    """Sets low-rank pairs from trained full matrices, in place.

    Args:
        network: A supernet or a subnet.
        matrices: (kernel float[width, units], bias float[units]) by name: ``block_0_fc1``,
            ``block_0_fc2``, and ``block_0_qkv``, ``block_0_projection`` where the attention is
            of low rank. Units of ``qkv`` are queries, keys and values side by side.

    Raises:
        ConfigError: If the network has no pair of that name, or a matrix has another shape.
    """
    layers = {layer.name: layer for layer in network.operators()}
    for name, (kernel, bias) in matrices.items():
        u, v = layers.get(f"{name}_u"), layers.get(f"{name}_v")
        if u is None or v is None:
            pairs = sorted(key[:-2] for key in layers if key.endswith("_u"))
            raise ConfigError(f"There is no low-rank pair {name!r}; the pairs are {pairs}.")
        wanted = (u.kernel.shape[0], v.kernel.shape[1])
        if np.shape(kernel) != wanted or np.shape(bias) != wanted[1:]:
            raise ConfigError(
                f"The matrix {name} is {np.shape(kernel)} with a bias of {np.shape(bias)}; the "
                f"pair takes {wanted} and {wanted[1:]}."
            )
        left, right = low_rank_pair(kernel, u.units)
        u.kernel.assign(left)
        u.bias.assign(np.zeros(u.units, np.float32))
        v.kernel.assign(right)
        v.bias.assign(bias)
