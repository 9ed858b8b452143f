"""Networks that benchmarks and tests measure: the paper's size, with random weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from mcuformer_tflm import data as datasets
from mcuformer_tflm.convert.converter import convert
from mcuformer_tflm.keras_models.architecture import Architecture


def paper_architecture(depth: int = 14) -> Architecture:
    """Returns the paper's network for STM32F746, or its first blocks."""
    return Architecture(
        image_size=240, channels=3, num_classes=1000, patch_size=16, rank_ratio=0.95, head_dim=64,
        embed_dim=192, num_heads=(3,) * depth, mlp_ratio=(4.0,) * depth,
    )  # fmt: skip


def one_block_vit() -> Architecture:
    """Returns the network that TFLM's own kernels were measured on (docs/firmware.md)."""
    return Architecture(
        image_size=96, channels=3, num_classes=10, patch_size=16, rank_ratio=None, head_dim=32,
        embed_dim=64, num_heads=(2,), mlp_ratio=(2.0,),
    )  # fmt: skip


def enlarge(images: np.ndarray, architecture: Architecture) -> np.ndarray:
    """Returns images at a network's size: pixels repeated, edges cut or padded, channels repeated.

    Args:
        images: uint8[n, height, width, 1].
        architecture: Whose ``image_size`` and ``channels`` are wanted.
    """
    height, width, channels = architecture.image_shape
    factor = max(-(-height // images.shape[1]), -(-width // images.shape[2]))
    large = images.repeat(factor, 1).repeat(factor, 2)
    top, left = (large.shape[1] - height) // 2, (large.shape[2] - width) // 2
    large = large[:, top : top + height, left : left + width]
    return np.ascontiguousarray(large.repeat(channels, 3))


def random_model(
    architecture: Architecture, images: np.ndarray, seed: int = 1, **options: Any
) -> bytes:
    """Returns a converted network of random weights, its ranges taken from images.

    Args:
        architecture: The network.
        images: uint8[n, height, width, 1] to calibrate on, enlarged as needed.
        seed: Of the weights.
        options: Of ``convert``.
    """
    import tf_keras

    from mcuformer_tflm.keras_models.subnet import build_subnet

    tf_keras.utils.set_random_seed(seed)
    subnet = build_subnet(architecture)
    rng = np.random.default_rng(seed)
    for weight in subnet.trainable_weights:
        weight.assign_add(0.02 * rng.standard_normal(weight.shape))
    calibration = datasets.normalise(enlarge(images, architecture))
    quantized = subnet.quantized_copy([calibration])
    labels = [f"class {i}" for i in range(architecture.num_classes)]
    return convert(quantized, labels, **options)
