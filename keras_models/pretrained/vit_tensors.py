"""What a checkpoint of a vision transformer holds, by the names that timm gives its tensors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mcuformer_tflm.keras_models.checked_values import AnyPath
from mcuformer_tflm.keras_models.exceptions import CheckpointError
from mcuformer_tflm.keras_models.pretrained.tensor_file import read_tensors

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


@dataclasses.dataclass(frozen=True)
class VitTensors:
    """Tensors of a plain vision transformer: all there, and of shapes that go together.

    Attributes:
        path: Where they come from, for messages.
        tensors: float32 arrays by name.
        depth: Number of blocks.
    """

    path: AnyPath
    tensors: Mapping[str, np.ndarray]
    depth: int

    @property
    def kernel(self) -> np.ndarray:
        """Of the patch embedding, float32[patch, patch, channels, embed_dim]."""
        return self.tensors["patch_embed.proj.weight"].transpose(2, 3, 1, 0)

    @property
    def side(self) -> int:
        """Rows of patches, and columns."""
        return math.isqrt(self.tensors["pos_embed"].shape[1])

    @property
    def position(self) -> np.ndarray:
        """Of the patches, float32[side * side, embed_dim]."""
        return self.tensors["pos_embed"][0, -(self.side**2) :]

    @property
    def class_token(self) -> np.ndarray | None:
        """The class token with its position, if it has one, float32[embed_dim]; None without."""
        token = self.tensors.get("cls_token")
        own = self.tensors["pos_embed"][0, : -(self.side**2)]
        return None if token is None else token[0, 0] + own.sum(0)

    @property
    def hidden(self) -> list[int]:
        """Hidden width of each block's MLP."""
        return [self.tensors[f"blocks.{n}.mlp.fc1.bias"].size for n in range(self.depth)]

    @property
    def num_classes(self) -> int | None:
        """Of the head; None without."""
        return self.tensors["head.bias"].size if "head.bias" in self.tensors else None


def read_vit(path: AnyPath) -> VitTensors:
    """Reads a checkpoint, and checks that it is a plain vision transformer's.

    Raises:
        CheckpointError: If the file cannot be read as tensors, or these are missing, misshapen,
            or more than such a network has.
        ConfigError: If it is no path.
    """
    tensors = read_tensors(path)
    for part, what in _FOREIGN.items():
        if any(name.partition(".")[0] == part for name in tensors):
            raise CheckpointError(f"{path} holds {part}: it is of {what}.")
    blocks = {name.split(".")[1] for name in tensors if name.startswith("blocks.")}
    depth = max(1, len(blocks))
    shapes = _shapes(tensors, depth)
    _check_names(path, tensors, shapes)
    _check_shapes(path, tensors, shapes)
    return VitTensors(path, tensors, depth)


def _shapes(tensors: Mapping[str, np.ndarray], depth: int) -> dict[str, tuple[int, ...]]:
    # Of all tensors that there must be, as they follow from a few of them.
    def size(name: str) -> int:
        return tensors[name].size if name in tensors else 0

    width, classes = size("patch_embed.proj.bias"), size("head.bias")
    positions = size("pos_embed") // max(1, width)
    _, channels, patch = (*tensors.get("patch_embed.proj.weight", np.zeros(0)).shape, 0, 0)[:3]
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embed.proj.weight": (width, channels, patch, patch),
        "patch_embed.proj.bias": (width,),
        "pos_embed": (1, positions, width),
    }
    # Parts that a network may lack, but not by halves.
    if "cls_token" in tensors or _is_square(positions - 1):
        shapes["cls_token"] = (1, 1, width)
    layer_scale = any(name.endswith((".ls1.gamma", ".ls2.gamma")) for name in tensors)
    for block in (f"blocks.{number}" for number in range(depth)):
        parts = _block(width, size(f"{block}.mlp.fc1.bias"))
        if layer_scale:
            parts |= {"ls1.gamma": (width,), "ls2.gamma": (width,)}
        shapes |= {f"{block}.{name}": shape for name, shape in parts.items()}
    shapes |= {"norm.weight": (width,), "norm.bias": (width,)}
    if any(name.startswith("head.") for name in tensors):
        shapes |= {"head.weight": (classes, width), "head.bias": (classes,)}
    return shapes


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


def _check_names(path: AnyPath, tensors: Mapping[str, Any], shapes: Mapping[str, Any]) -> None:
    missing = [name for name in shapes if name not in tensors]
    extra = [name for name in tensors if name not in shapes]
    faults = [f"{verb} {_first(names)}" for verb, names in
              (("lacks", missing), ("also holds", extra)) if names]  # fmt: skip
    if faults:
        raise CheckpointError(
            f"{path} {', and '.join(faults)}. Give a plain DeiT or ViT with the tensor names of "
            "timm, as timm.create_model(...).state_dict() has them."
        )


def _check_shapes(
    path: AnyPath, tensors: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    faults = [
        f"{name} {list(tensors[name].shape)} instead of {list(shape)}"
        for name, shape in shapes.items()
        if tensors[name].shape != shape
    ]
    if faults:
        raise CheckpointError(
            f"The tensors of {path} do not go together: {_first(faults)}. It is damaged, or of "
            "another kind of network than a DeiT or ViT."
        )
    tokens, class_token = shapes["pos_embed"][1], "cls_token" in tensors
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
