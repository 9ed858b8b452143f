"""The full description of one vision transformer."""

from __future__ import annotations

import dataclasses
import json
import math
import numbers
from typing import Any, Literal, get_args

from mcuformer_tflm.custom_ops.reference import (
    attention,
    conv_stem,
    fully_connected,
    layer_norm,
    patch_embed,
)
from mcuformer_tflm.keras_models.checked_values import (
    checked_bool,
    checked_choice,
    checked_real,
    checked_whole,
    entries,
    shown,
)
from mcuformer_tflm.keras_models.exceptions import ConfigError

Pooling = Literal["mean", "class_token"]
Stem = Literal["patch", "conv"]
MAX_CLASSES = fully_connected.MAX_WIDTH
# Deeper is a slip of the pen, which would be built block by block.
MAX_DEPTH = 1000

# Side of a square, or height and width, in pixels.
ImageSize = int | tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Architecture:
    """One network of the search space; hashable, and comparable by value.

    Widths of queries, keys and values are ``head_dim * num_heads``, not ``embed_dim``
    (paper, appendix B.2). The two matrices of each MLP are products ``U @ V.T`` of rank
    ``rank`` (Eq. 1). More than the int8 operators take, which is 2,048 tokens, an ``embed_dim`` of
    1,024 and 65,536 classes among others, is refused whether or not it shall ever be converted.

    Attributes:
        image_size: Side of a square input, or its (height, width), in pixels.
        channels: Channels of the input.
        num_classes: Number of classes.
        patch_size: Height and width of one patch, in pixels.
        rank_ratio: Rank of the MLP's factors as a share of ``embed_dim``, in (0, 1]; None leaves
            its matrices whole.
        head_dim: Width of one attention head.
        embed_dim: Width of the residual stream.
        num_heads: Attention heads of each block.
        mlp_ratio: Hidden width of each block's MLP as a multiple of ``embed_dim``.
        low_rank_attention: Whether attention's two matrices are products of rank ``rank`` too.
        relative_position: Whether each head adds a learned bias for the distance of two
            tokens, in rows and columns, to its logits.
        pooling: What the classifier reads: ``"mean"`` of the tokens, or a ``"class_token"``.
        stem: What makes tokens of pixels: ``"patch"``, one convolution as large as the patch, or
            ``"conv"``, convolutions of 3x3 that halve the image until a token is left of each
            patch, whose size must be 4, 8, 16 or 32.
    """

    image_size: ImageSize
    channels: int
    num_classes: int
    patch_size: int
    rank_ratio: float | None
    head_dim: int
    embed_dim: int
    num_heads: tuple[int, ...]
    mlp_ratio: tuple[float, ...]
    _: dataclasses.KW_ONLY
    low_rank_attention: bool = False
    relative_position: bool = False
    pooling: Pooling = "mean"
    stem: Stem = "patch"

    def __post_init__(self) -> None:
        """Checks every field, and keeps its numbers as Python's: equal networks are one.

        Raises:
            ConfigError: If a field is out of range.
        """

        def keep(field: str, value: Any) -> None:
            object.__setattr__(self, field, value)

        keep("image_size", checked_image_size(self.image_size))
        for field in ("channels", "num_classes", "patch_size", "head_dim", "embed_dim"):
            keep(field, checked_whole(field, getattr(self, field)))
        if self.patch_size > min(self.image_height, self.image_width):
            raise ConfigError(
                f"patch_size is {self.patch_size}; it must be at most image_size, "
                f"{self.image_size}."
            )
        if self.rank_ratio is not None:
            keep("rank_ratio", checked_factor("rank_ratio", self.rank_ratio))
        for field in ("num_heads", "mlp_ratio"):
            given = entries(getattr(self, field))
            if not given:
                raise ConfigError(
                    f"{field} is {shown(getattr(self, field))}; it must be a tuple of one value a "
                    "block, and at least one block."
                )
            keep(field, tuple(checked_factor(field, value) for value in given))
        if len(self.num_heads) != len(self.mlp_ratio):
            raise ConfigError(
                f"num_heads has {len(self.num_heads)} entries and mlp_ratio "
                f"{len(self.mlp_ratio)}; each needs one entry a block."
            )
        for field in ("low_rank_attention", "relative_position"):
            keep(field, checked_bool(field, getattr(self, field)))
        if self.low_rank_attention and self.rank_ratio is None:
            raise ConfigError("rank_ratio is None; low_rank_attention needs a number in (0, 1].")
        checked_choice("pooling", self.pooling, get_args(Pooling))
        checked_choice("stem", self.stem, get_args(Stem))
        if self.stem == "conv":
            check_halved(self.patch_size)
        self._check_sizes()

    def _check_sizes(self) -> None:
        # What the int8 operators can hold, told before anything is trained.
        queries = [3 * self.attention_dim(block) for block in range(self.depth)]
        hidden = [self.hidden_dim(block) for block in range(self.depth)]
        for field, value, what, size, greatest in (
            ("patch_size", self.patch_size, "tokens", self.sequence_length, attention.MAX_TOKENS),
            self._stem_size(),
            ("num_classes", self.num_classes, "classes", self.num_classes, MAX_CLASSES),
            ("head_dim", self.head_dim, "values a head", self.head_dim, attention.MAX_HEAD_DIM),
            ("embed_dim", self.embed_dim, "values a token", self.embed_dim, layer_norm.MAX_WIDTH),
            ("num_heads", self.num_heads, "heads", max(self.num_heads), attention.MAX_HEADS),
            ("num_heads", self.num_heads, "queries, keys and values a token", max(queries),
             fully_connected.MAX_WIDTH),
            ("mlp_ratio", self.mlp_ratio, "hidden values a token", max(hidden),
             fully_connected.MAX_WIDTH),
        ):  # fmt: skip
            if size > greatest:
                raise ConfigError(
                    f"{field} is {value}, which makes {size:,} {what}; the int8 operators take "
                    f"at most {greatest:,}."
                )
        if min(hidden) < 1:
            raise ConfigError(
                f"mlp_ratio is {self.mlp_ratio} and embed_dim {self.embed_dim}, which leaves a "
                "hidden width of 0; their product must round to at least 1 in every block."
            )

    def _stem_size(self) -> tuple[str, Any, str, int, int]:
        # Field and value, and what a unit sums over at once.
        if self.stem == "conv":
            channels = self.channels
            return "channels", channels, "channels of an image", channels, conv_stem.MAX_CHANNELS
        values = self.patch_size**2 * self.channels
        return "patch_size", self.patch_size, "values a patch", values, patch_embed.MAX_PATCH_VALUES

    @property
    def stem_name(self) -> str:
        """Name of the layer that makes tokens of pixels."""
        return "conv_stem" if self.stem == "conv" else "patch_embed"

    @property
    def depth(self) -> int:
        """Number of transformer blocks."""
        return len(self.num_heads)

    @property
    def image_height(self) -> int:
        """Rows of pixels."""
        return self.image_shape[0]

    @property
    def image_width(self) -> int:
        """Columns of pixels."""
        return self.image_shape[1]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the input."""
        return image_shape(self.image_size, self.channels)

    @property
    def grid_height(self) -> int:
        """Rows of patches; the image is padded where it is no multiple of them."""
        return math.ceil(self.image_height / self.patch_size)

    @property
    def grid_width(self) -> int:
        """Columns of patches."""
        return math.ceil(self.image_width / self.patch_size)

    @property
    def num_tokens(self) -> int:
        """Number of patch tokens."""
        return self.grid_height * self.grid_width

    @property
    def sequence_length(self) -> int:
        """Number of tokens that attend to each other: the patches, and a class token."""
        return self.num_tokens + (self.pooling == "class_token")

    @property
    def position_biases(self) -> int:
        """Biases of a head: one a distance of patches, and three for pairs with a class token."""
        distances = (2 * self.grid_height - 1) * (2 * self.grid_width - 1)
        return distances + 3 * (self.pooling == "class_token")

    @property
    def rank(self) -> int:
        """Rank k = floor(rank_ratio * embed_dim) of the MLP's factors (Eq. 1), or 0 without."""
        if self.rank_ratio is None:
            return 0
        # The small term keeps 0.95 * 60 = 56.99999 from losing a rank to binary fractions.
        return max(1, math.floor(self.rank_ratio * self.embed_dim + 1e-9))

    def hidden_dim(self, block: int) -> int:
        """Hidden width of one block's MLP."""
        return round(self.mlp_ratio[block] * self.embed_dim)

    def attention_dim(self, block: int) -> int:
        """Width of one block's queries, which is also that of its keys and values."""
        return self.num_heads[block] * self.head_dim

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields by name; ``stem`` only where it is not ``"patch"``.

        So that what was written before there was another stem is written alike.
        """
        fields = dataclasses.asdict(self)
        if self.stem == "patch":
            del fields["stem"]
        return fields

    def to_json(self) -> str:
        """Returns the architecture as one line of JSON with sorted keys."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Architecture:
        """Rebuilds an architecture from ``to_json``.

        Raises:
            ConfigError: If the text is not such an object.
        """
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise ConfigError(f"This is no architecture in JSON: {error}") from error


def takes_patches(stem: Stem, patch_size: int) -> bool:
    """Whether a stem makes tokens of patches of a size.

    Raises:
        ConfigError: If there is no such stem.
    """
    checked_choice("stem", stem, get_args(Stem))
    return stem == "patch" or patch_size in conv_stem.PATCH_SIZES


def check_halved(patch_size: int) -> None:
    """Checks a patch's size for the convolutional stem.

    Raises:
        ConfigError: If its stages do not come to it.
    """
    if not takes_patches("conv", patch_size):
        raise ConfigError(
            f"patch_size is {patch_size}; with the convolutional stem, whose stages halve the "
            f"image, it must be one of {conv_stem.PATCH_SIZES}."
        )


def checked_image_size(image_size: Any) -> ImageSize:
    """Returns a size in its one form: the side of a square, otherwise (height, width).

    Raises:
        ConfigError: If it is neither a whole number nor two of them, or one is below 1.
    """
    sides = entries(image_size) or (image_size, image_size)
    if len(sides) != 2 or not all(isinstance(side, numbers.Integral) for side in sides):
        raise ConfigError(
            f"image_size is {shown(image_size)}; it must be the side of a square, or (height, "
            "width)."
        )
    height, width = (checked_whole("image_size", side) for side in sides)
    return height if height == width else (height, width)


def checked_factor(field: str, value: Any) -> int | float:
    """Returns one value of what a space varies as Python's own number.

    Raises:
        ConfigError: If it is out of the field's range.
    """
    if field == "rank_ratio":
        return checked_real(field, value, high=1, open_below=True)
    if field == "mlp_ratio":
        return checked_real(field, value, high=fully_connected.MAX_WIDTH, open_below=True)
    return checked_whole(field, value, most=MAX_DEPTH if field == "depth" else math.inf)


def image_shape(image_size: ImageSize, channels: int) -> tuple[int, int, int]:
    """Returns the height, width and channels of an image."""
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    return height, width, channels
