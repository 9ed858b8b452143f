"""Networks that benchmarks and tests measure: the paper's size, with random weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mcuformer_tflm import data as datasets
from mcuformer_tflm.convert.converter import convert
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.quantization.config import INT8, QuantizationConfig


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


def deit_tiny_architecture() -> Architecture:
    """Returns DeiT-Ti (Touvron et al., 2021, table 1)."""
    return Architecture(
        image_size=224, channels=3, num_classes=1000, patch_size=16, rank_ratio=None, head_dim=64,
        embed_dim=192, num_heads=(3,) * 12, mlp_ratio=(4.0,) * 12, pooling="class_token",
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
    architecture: Architecture,
    images: np.ndarray,
    seed: int = 1,
    quantization: QuantizationConfig = INT8,
    **options: Any,
) -> bytes:
    """Returns a converted network of random weights, its ranges taken from images.

    Args:
        architecture: The network.
        images: uint8[n, height, width, 1] to calibrate on, enlarged as needed.
        seed: Of the weights.
        quantization: Of the network.
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
    quantized = subnet.quantized_copy([calibration], quantization)
    labels = [f"class {i}" for i in range(architecture.num_classes)]
    return convert(quantized, labels, **options)


def random_vit(
    seed: int = 0,
    *,
    width: int = 64,
    depth: int = 2,
    hidden: int = 96,
    side: int = 3,
    patch: int = 4,
    channels: int = 3,
    classes: int = 5,
    class_token: bool = True,
    class_position: bool = True,
    layer_scale: bool = False,
    head: bool = True,
) -> dict[str, np.ndarray]:
    """Returns a checkpoint of random weights, float32, by the names that timm gives its tensors.

    Matrices keep the variance of what they multiply, so that every layer matters.

    Args:
        seed: Of the weights.
        width: Values a token.
        depth: Blocks.
        hidden: Hidden values of each MLP.
        side: Rows and columns of patches.
        patch: Height and width of a patch.
        channels: Of the image.
        classes: Of the head.
        class_token: Whether a class token precedes the patches.
        class_position: Whether it has a position of its own.
        layer_scale: Whether each block scales what it adds.
        head: Whether there is one.
    """
    rng = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}

    def draw(name: str, *shape: int, scale: float = 0.2, around: float = 0.0) -> None:
        tensors[name] = (around + scale * rng.standard_normal(shape)).astype(np.float32)

    def norm(name: str) -> None:
        draw(f"{name}.weight", width, around=1.0)
        draw(f"{name}.bias", width)

    def linear(name: str, units: int, *inputs: int) -> None:
        draw(f"{name}.weight", units, *inputs, scale=math.prod(inputs) ** -0.5)
        draw(f"{name}.bias", units)

    if class_token:
        draw("cls_token", 1, 1, width, scale=1.0)
    draw("pos_embed", 1, side**2 + (class_token and class_position), width, scale=1.0)
    linear("patch_embed.proj", width, channels, patch, patch)
    for name in (f"blocks.{block}" for block in range(depth)):
        norm(f"{name}.norm1")
        linear(f"{name}.attn.qkv", 3 * width, width)
        linear(f"{name}.attn.proj", width, width)
        norm(f"{name}.norm2")
        linear(f"{name}.mlp.fc1", hidden, width)
        linear(f"{name}.mlp.fc2", width, hidden)
        if layer_scale:
            draw(f"{name}.ls1.gamma", width, around=0.5)
            draw(f"{name}.ls2.gamma", width, around=0.5)
    norm("norm")
    if head:
        linear("head", classes, width)
    return tensors
