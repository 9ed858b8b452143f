"""Vision transformers from checkpoints with the tensor names of timm."""

from __future__ import annotations

import dataclasses
import math
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
from mcuformer_tflm.keras_models.exceptions import CheckpointError, ConfigError
from mcuformer_tflm.keras_models.pretrained.resampling import (
    fold_normalisation,
    resize_kernel,
    resize_positions,
)
from mcuformer_tflm.keras_models.pretrained.tensor_file import read_tensors
from mcuformer_tflm.keras_models.subnet import Subnet, build_subnet

# Of ImageNet's pixels in [0, 1], by channel: what DeiT was trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Of every DeiT, and of the published ViT-Ti, S, B and L.
_HEAD_DIM = 64
_TOLD = 3
_DISTILLED = (
    "a distilled DeiT, with a second token and a second head; give the one that was trained "
    "without distillation (deit_tiny_patch16_224, not deit_tiny_distilled_patch16_224)"
)
# Parts of relatives that our networks have no place for.
_FOREIGN = {
    "dist_token": _DISTILLED,
    "head_dist": _DISTILLED,
    "fc_norm": "a network that normalises after the mean over tokens, where ours do before; give "
    "one that reads its class token (global_pool='token')",
}


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
    checkpoint = _read(path)
    pixels = {
        "mean": _of_channels("mean", mean, checkpoint.channels),
        "std": _of_channels("std", std, checkpoint.channels),
    }
    wanted = {"num_classes": num_classes, "image_size": image_size, "patch_size": patch_size}
    subnet = build_subnet(checkpoint.architecture(num_heads, wanted))
    _fill(subnet, checkpoint, pixels, seed)
    return subnet


@dataclasses.dataclass(frozen=True)
class _Checkpoint:
    # Tensors of a plain vision transformer: all there, and of shapes that go together.

    path: Any
    tensors: Mapping[str, np.ndarray]
    depth: int

    @property
    def kernel(self) -> np.ndarray:
        # float[height, width, channels, embed_dim]
        return self.tensors["patch_embed.proj.weight"].transpose(2, 3, 1, 0)

    @property
    def channels(self) -> int:
        return self.kernel.shape[2]

    @property
    def side(self) -> int:
        # Rows of the square grid of patches.
        return math.isqrt(self.tensors["pos_embed"].shape[1])

    @property
    def positions(self) -> tuple[np.ndarray, np.ndarray | None]:
        # Those of the patches, and the class token with its own, where there is one.
        position = self.tensors["pos_embed"][0]
        token = self.tensors.get("cls_token")
        first = len(position) - self.side**2
        return position[first:], None if token is None else token[0, 0] + position[:first].sum(0)

    def architecture(self, num_heads: int | None, wanted: Mapping[str, Any]) -> Architecture:
        # That of the file, but for what is wanted otherwise.
        patch_size, _, channels, width = self.kernel.shape
        if num_heads is None and width % _HEAD_DIM:
            raise ConfigError(
                f"num_heads is not given, and {self.path} has tokens of {width} values, no "
                f"multiple of {_HEAD_DIM}, which a head usually has; tensors do not tell their "
                "number, so give num_heads."
            )
        num_heads = num_heads or width // _HEAD_DIM
        if width % num_heads:
            raise ConfigError(
                f"num_heads is {num_heads}; it must divide the {width} values of a token of "
                f"{self.path}."
            )
        head = self.tensors.get("head.bias")
        if head is None and wanted["num_classes"] is None:
            raise ConfigError(
                f"num_classes is not given, and {self.path} has no head that would tell; give "
                "the number of your classes."
            )
        hidden = [self.tensors[f"blocks.{n}.mlp.fc1.bias"].size for n in range(self.depth)]
        fields = {
            "image_size": self.side * patch_size,
            "patch_size": patch_size,
            "num_classes": None if head is None else head.size,
            **{field: value for field, value in wanted.items() if value is not None},
        }
        return Architecture(
            **fields,
            channels=channels,
            rank_ratio=None,
            head_dim=width // num_heads,
            embed_dim=width,
            num_heads=(num_heads,) * self.depth,
            mlp_ratio=tuple(units / width for units in hidden),
            pooling="class_token" if "cls_token" in self.tensors else "mean",
        )


def _read(path: AnyPath) -> _Checkpoint:
    tensors = read_tensors(path)
    for part, what in _FOREIGN.items():
        if any(name.partition(".")[0] == part for name in tensors):
            raise CheckpointError(f"{path} holds {part}: it is of {what}.")
    blocks = {name.split(".")[1] for name in tensors if name.startswith("blocks.")}
    depth = max(1, len(blocks))
    # Sizes that others follow from, 0 while they are not known.
    first = {name: tensors[name].size if name in tensors else 0 for name in (
        "patch_embed.proj.bias", "pos_embed", "head.bias",
        *(f"blocks.{block}.mlp.fc1.bias" for block in range(depth)),
    )}  # fmt: skip
    width = first["patch_embed.proj.bias"]
    classes = first["head.bias"]
    _, channels, patch = (*tensors.get("patch_embed.proj.weight", np.zeros(0)).shape, 0, 0, 0)[:3]
    wanted: dict[str, tuple[int, ...]] = {
        "patch_embed.proj.weight": (width, channels, patch, patch),
        "patch_embed.proj.bias": (width,),
        "pos_embed": (1, first["pos_embed"] // max(1, width), width),
        **{
            f"blocks.{block}.{name}": shape
            for block in range(depth)
            for name, shape in _block(width, first[f"blocks.{block}.mlp.fc1.bias"]).items()
        },
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    # Parts that a network may lack, but not by halves.
    if any(name.startswith("head.") for name in tensors):
        wanted |= {"head.weight": (classes, width), "head.bias": (classes,)}
    if any(name.endswith((".ls1.gamma", ".ls2.gamma")) for name in tensors):
        gammas = (f"blocks.{block}.ls{n}.gamma" for block in range(depth) for n in (1, 2))
        wanted |= dict.fromkeys(gammas, (width,))
    if "cls_token" in tensors or _is_square(wanted["pos_embed"][1] - 1):
        wanted["cls_token"] = (1, 1, width)
    _check_names(path, tensors, wanted)
    _check_shapes(path, tensors, wanted)
    return _Checkpoint(path, tensors, depth)


def _block(width: int, hidden: int) -> dict[str, tuple[int, ...]]:
    return {
        "norm1.weight": (width,),
        "norm1.bias": (width,),
        "attn.qkv.weight": (3 * width, width),
        "attn.qkv.bias": (3 * width,),
        "attn.proj.weight": (width, width),
        "attn.proj.bias": (width,),
        "norm2.weight": (width,),
        "norm2.bias": (width,),
        "mlp.fc1.weight": (hidden, width),
        "mlp.fc1.bias": (hidden,),
        "mlp.fc2.weight": (width, hidden),
        "mlp.fc2.bias": (width,),
    }


def _check_names(path: AnyPath, tensors: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    missing = [name for name in wanted if name not in tensors]
    extra = [name for name in tensors if name not in wanted]
    faults = [f"{verb} {_first(names)}" for verb, names in
              (("lacks", missing), ("also holds", extra)) if names]  # fmt: skip
    if faults:
        raise CheckpointError(
            f"{path} {', and '.join(faults)}. Give a plain DeiT or ViT with the tensor names of "
            "timm, as timm.create_model(...).state_dict() has them."
        )


def _check_shapes(
    path: AnyPath, tensors: Mapping[str, np.ndarray], wanted: Mapping[str, tuple[int, ...]]
) -> None:
    faults = [
        f"{name} {list(tensors[name].shape)} instead of {list(shape)}"
        for name, shape in wanted.items()
        if tensors[name].shape != shape
    ]
    if faults:
        raise CheckpointError(
            f"The tensors of {path} do not go together: {_first(faults)}. It is damaged, or of "
            "another kind of network than a DeiT or ViT."
        )
    tokens, class_token = wanted["pos_embed"][1], "cls_token" in tensors
    if not _is_square(tokens) and not (class_token and _is_square(tokens - 1)):
        raise CheckpointError(
            f"pos_embed of {path} has {tokens} positions, which are no square of patches; give a "
            "checkpoint of square images, and the size that you want as image_size."
        )


def _is_square(number: int) -> bool:
    return number > 0 and math.isqrt(number) ** 2 == number


def _first(faults: Sequence[str]) -> str:
    more = len(faults) - _TOLD
    return ", ".join(faults[:_TOLD]) + (f" and {more} more" if more > 0 else "")


def _of_channels(field: str, values: Any, channels: int) -> list[float]:
    given = entries(values)
    if given is None or len(given) != channels:
        raise ConfigError(
            f"{field} is {shown(values)}; the checkpoint reads {channels} channels, so give a "
            "tuple of as many numbers, for pixels in [0, 1]."
        )
    return [checked_real(field, value, high=1, open_below=field == "std") for value in given]


def _fill(
    subnet: Subnet, checkpoint: _Checkpoint, pixels: Mapping[str, Sequence[float]], seed: int
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
    position, token = checkpoint.positions
    grid = (arch.grid_height, arch.grid_width)
    layers["patch_embed"].kernel.assign(kernel)
    layers["patch_embed"].bias.assign(bias)
    layers["patch_embed"].position.assign(resize_positions(position, (checkpoint.side,) * 2, grid))
    if token is not None:
        layers["class_token"].token.assign(token)
    for block in range(arch.depth):
        ours, theirs = f"block_{block}", f"blocks.{block}"
        norm(f"{ours}_norm_1", f"{theirs}.norm1")
        matrix(f"{ours}_qkv", f"{theirs}.attn.qkv")
        matrix(f"{ours}_projection", f"{theirs}.attn.proj", f"{theirs}.ls1.gamma")
        norm(f"{ours}_norm_2", f"{theirs}.norm2")
        matrix(f"{ours}_fc1", f"{theirs}.mlp.fc1")
        matrix(f"{ours}_fc2", f"{theirs}.mlp.fc2", f"{theirs}.ls2.gamma")
    norm("norm", "norm")
    head = tensors.get("head.bias")
    if head is not None and head.size == arch.num_classes:
        matrix("head", "head")
    else:
        start = tf_keras.initializers.GlorotUniform(seed)
        layers["head"].kernel.assign(start(layers["head"].kernel.shape))
