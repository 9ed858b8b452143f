"""Vision transformers from checkpoints with the tensor names of timm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tf_keras

from mcuformer_tflm.keras_models.architecture import Architecture, ImageSize, checked_image_size
from mcuformer_tflm.keras_models.checked_values import (
    AnyPath,
    checked_real,
    checked_seed,
    checked_whole,
    entries,
    shown,
)
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.pretrained.resampling import (
    fold_normalisation,
    resize_kernel,
    resize_positions,
)
from mcuformer_tflm.keras_models.pretrained.vit_tensors import VitTensors, read_vit
from mcuformer_tflm.keras_models.subnet import Subnet, build_subnet

# Of ImageNet's pixels in [0, 1], by channel: what DeiT was trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Of every DeiT, and of the published ViT-Ti, S, B and L.
_HEAD_DIM = 64


def load_vit(
    path: AnyPath,
    *,
    num_classes: int | None = None,
    image_size: ImageSize | None = None,
    patch_size: int | None = None,
    num_heads: int | None = None,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    seed: int = 0,
) -> Subnet:
    """Reads a DeiT or ViT that was trained elsewhere (Touvron et al.; Dosovitskiy et al., 2021).

    The file holds tensors with the names that timm gives them (``blocks.0.attn.qkv.weight``), in
    safetensors or npz; layer scale is folded into the matrices behind it. A network without a
    class token reads the mean of its tokens. The result takes images as all networks here do,
    in [-1, 1): the checkpoint's own normalisation becomes part of the patch embedding. Its GELU is
    the sigmoid form, so train it on for a while (``quantize`` does).

    An image that is no multiple of the patch is padded on all sides with zeros, which stand for the
    byte 128, not for the checkpoint's mean.

    Args:
        path: The checkpoint; pickles (``.pth``, ``.pt``, ``.bin``) are refused.
        num_classes: Of the network; where the checkpoint has another number, or no head, the head
            is fresh. By default the checkpoint's.
        image_size: Of the network; positions are interpolated where its grid is another than the
            checkpoint's, which must be square. By default the checkpoint's.
        patch_size: Of the network; the patch embedding is resized by pseudo-inverse (Beyer et al.,
            FlexiViT, 2023). By default the checkpoint's.
        num_heads: Of each block, which no tensor tells. By default heads of 64 values.
        mean: Of each channel of the pixels in [0, 1], which training subtracted; ImageNet's by
            default. ViTs of other sources often want (0.5, 0.5, 0.5).
        std: Of each channel, by which it divided.
        seed: Of a fresh head.

    Raises:
        CheckpointError: If the file cannot be read as such, or tensors are missing, misshapen or
            more than the network has.
        ConfigError: If an argument is out of range, does not go with the checkpoint, or makes
            more of it than the int8 operators take.
    """
    seed = checked_seed(seed)
    for field, value in (("num_classes", num_classes), ("patch_size", patch_size),
                         ("num_heads", num_heads)):  # fmt: skip
        if value is not None:
            checked_whole(field, value)
    if image_size is not None:
        checked_image_size(image_size)
    checkpoint = read_vit(path)
    channels = checkpoint.kernel.shape[2]
    pixels = {
        "mean": _of_channels("mean", mean, channels),
        "std": _of_channels("std", std, channels),
    }
    wanted = {"num_classes": num_classes, "image_size": image_size, "patch_size": patch_size}
    subnet = build_subnet(_architecture(checkpoint, num_heads, wanted))
    _fill(subnet, checkpoint, pixels, seed)
    return subnet


def _architecture(
    checkpoint: VitTensors, num_heads: int | None, wanted: Mapping[str, Any]
) -> Architecture:
    # That of the checkpoint, but for what is wanted otherwise.
    patch_size, _, channels, width = checkpoint.kernel.shape
    if num_heads is None and width % _HEAD_DIM:
        raise ConfigError(
            f"num_heads is not given, and {checkpoint.path} has tokens of {width} values, no "
            f"multiple of {_HEAD_DIM}, which a head usually has; tensors do not tell their number, "
            "so give num_heads."
        )
    num_heads = num_heads or width // _HEAD_DIM
    if width % num_heads:
        raise ConfigError(
            f"num_heads is {num_heads}; it must divide the {width} values of a token of "
            f"{checkpoint.path}."
        )
    if checkpoint.num_classes is None and wanted["num_classes"] is None:
        raise ConfigError(
            f"num_classes is not given, and {checkpoint.path} has no head that would tell; give "
            "the number of your classes."
        )
    own = {
        "num_classes": checkpoint.num_classes,
        "image_size": checkpoint.side * patch_size,
        "patch_size": patch_size,
    }
    return Architecture(
        **own | {field: value for field, value in wanted.items() if value is not None},
        channels=channels,
        rank_ratio=None,
        head_dim=width // num_heads,
        embed_dim=width,
        num_heads=(num_heads,) * checkpoint.depth,
        mlp_ratio=tuple(units / width for units in checkpoint.hidden),
        pooling="mean" if checkpoint.class_token is None else "class_token",
    )


def _of_channels(field: str, values: Any, channels: int) -> list[float]:
    given = entries(values)
    if given is None or len(given) != channels:
        raise ConfigError(
            f"{field} is {shown(values)}; the checkpoint reads {channels} channels, so give a "
            "tuple of as many numbers, for pixels in [0, 1]."
        )
    return [checked_real(field, value, high=1, open_below=field == "std") for value in given]


def _fill(
    subnet: Subnet, checkpoint: VitTensors, pixels: Mapping[str, Sequence[float]], seed: int
) -> None:
    tensors, arch = checkpoint.tensors, subnet.architecture
    layers = {layer.name: layer for layer in subnet.operators()}

    def norm(name: str, source: str) -> None:
        layers[name].gamma.assign(tensors[f"{source}.weight"])
        layers[name].beta.assign(tensors[f"{source}.bias"])

    def matrix(name: str, source: str, scale: str = "") -> None:
        # Layer scale: a factor for each value that the matrix gives.
        gain = tensors.get(scale, np.float32(1))
        layers[name].kernel.assign(tensors[f"{source}.weight"].T * gain)
        layers[name].bias.assign(tensors[f"{source}.bias"] * gain)

    kernel = resize_kernel(checkpoint.kernel.astype(np.float64), arch.patch_size)
    bias = tensors["patch_embed.proj.bias"].astype(np.float64)
    kernel, bias = fold_normalisation(kernel, bias, **pixels)
    grid = (arch.grid_height, arch.grid_width)
    position = resize_positions(checkpoint.position, (checkpoint.side,) * 2, grid)
    layers["patch_embed"].kernel.assign(kernel)
    layers["patch_embed"].bias.assign(bias)
    layers["patch_embed"].position.assign(position)
    if checkpoint.class_token is not None:
        layers["class_token"].token.assign(checkpoint.class_token)
    for block in range(arch.depth):
        ours, theirs = f"block_{block}", f"blocks.{block}"
        norm(f"{ours}_norm_1", f"{theirs}.norm1")
        matrix(f"{ours}_qkv", f"{theirs}.attn.qkv")
        matrix(f"{ours}_projection", f"{theirs}.attn.proj", f"{theirs}.ls1.gamma")
        norm(f"{ours}_norm_2", f"{theirs}.norm2")
        matrix(f"{ours}_fc1", f"{theirs}.mlp.fc1")
        matrix(f"{ours}_fc2", f"{theirs}.mlp.fc2", f"{theirs}.ls2.gamma")
    norm("norm", "norm")
    if arch.num_classes == checkpoint.num_classes:
        matrix("head", "head")
    else:
        start = tf_keras.initializers.GlorotUniform(seed)
        layers["head"].kernel.assign(start(layers["head"].kernel.shape))
