"""Low-rank pairs (Eq. 1) that start from trained full matrices."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from mcuformer_tflm.keras_models.architecture import checked_factor
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.layers.fully_connected import FullyConnected
from mcuformer_tflm.keras_models.subnet import Subnet, build_subnet, check_subnet
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


def factorise(subnet: Subnet, rank_ratio: float, *, low_rank_attention: bool = False) -> Subnet:
    """Returns a trained network with the matrices of its MLPs as low-rank pairs.

    Each pair is the best of its rank (``low_rank_pair``: in the Frobenius norm), biases stay, and
    so does all else. At a ``rank_ratio`` of 1 the network computes the same; below that, train it
    on.

    Args:
        subnet: In floating point, with whole matrices.
        rank_ratio: Rank of the pairs as a share of ``embed_dim``, in (0, 1].
        low_rank_attention: Whether attention's two matrices become pairs, too.

    Raises:
        ConfigError: If an argument is out of range, or the network is quantized or has pairs
            already.
    """
    check_subnet(subnet)
    if subnet.quantized:
        raise ConfigError("subnet is quantized; factorise the float network, then quantize it.")
    if subnet.architecture.rank_ratio is not None:
        raise ConfigError(
            f"subnet has a rank_ratio of {subnet.architecture.rank_ratio} already; give the "
            "network with whole matrices (rank_ratio=None) that it came from."
        )
    factored = build_subnet(
        dataclasses.replace(
            subnet.architecture,
            rank_ratio=checked_factor("rank_ratio", rank_ratio),
            low_rank_attention=low_rank_attention,
        )
    )
    layers = {layer.name: layer for layer in factored.operators()}
    for layer in subnet.operators():
        if layer.name in layers:
            layers[layer.name].set_weights(layer.get_weights())
    matrices = full_matrices(subnet)
    initialise_low_rank(
        factored, {name: matrices[name] for name in matrices if f"{name}_u" in layers}
    )
    return factored
