"""Search spaces of vision transformers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np

from mcuformer_tflm.keras_models.architecture import (
    Architecture,
    ImageSize,
    Pooling,
    Stem,
    check_halved,
    checked_factor,
    image_shape,
    takes_patches,
)
from mcuformer_tflm.keras_models.checked_values import (
    checked_choice,
    checked_real,
    checked_type,
    entries,
    shown,
)
from mcuformer_tflm.keras_models.exceptions import ConfigError

_RANK_RATIOS = tuple(round(0.40 + 0.05 * step, 2) for step in range(12))

_FACTORS = (
    "patch_size", "rank_ratio", "embed_dim", "depth", "num_heads", "mlp_ratio", "head_dim",
)  # fmt: skip
# The same in every network of a space.
_FIXED = (
    "image_size", "channels", "num_classes", "low_rank_attention", "relative_position", "pooling",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """What may be varied; by default the paper's full space (appendix B.2).

    ``patch_size``, ``rank_ratio`` and ``stem`` are factors of the *space*: each combination, a
    pair where there is one stem, is one supernet. The others vary from subnet to subnet,
    ``num_heads`` and ``mlp_ratio`` from block to block: a subnet has the leading heads of its
    supernet, and of each the leading ``head_dim`` values. A factor's values are a tuple, list,
    range or array that ascends, or one value alone; they become a tuple of Python's ints or floats.

    Attributes:
        image_size: Side of a square input, or its (height, width), in pixels.
        channels: Channels of the input.
        num_classes: Number of classes.
        patch_size: Sides of a patch, in pixels.
        rank_ratio: Ranks of the MLP's factors as shares of ``embed_dim``.
        embed_dim: Widths of the residual stream.
        depth: Numbers of blocks.
        num_heads: Heads of a block.
        mlp_ratio: Hidden widths of a block's MLP as multiples of ``embed_dim``.
        head_dim: Widths of a head, the same in all blocks of a network.
        low_rank_attention: Of every network, as in ``Architecture``; so the next two.
        relative_position: Whether heads add a learned bias for the distance of two tokens.
        pooling: ``"mean"`` or ``"class_token"``.
        stem: ``"patch"``, ``"conv"`` or both, in any order. Patch sizes that a stem does not take
            (``Architecture``) are there with the other one alone.
    """

    image_size: ImageSize = 240
    channels: int = 3
    _: dataclasses.KW_ONLY
    num_classes: int = 1000
    patch_size: tuple[int, ...] = (16, 20, 24, 28, 32)
    rank_ratio: tuple[float, ...] = _RANK_RATIOS
    embed_dim: tuple[int, ...] = (168, 192, 216)
    depth: tuple[int, ...] = (12, 13, 14)
    num_heads: tuple[int, ...] = (3, 4)
    mlp_ratio: tuple[float, ...] = (3.5, 4.0)
    head_dim: tuple[int, ...] = (64,)
    low_rank_attention: bool = False
    relative_position: bool = False
    pooling: Pooling = "mean"
    stem: tuple[Stem, ...] = ("patch",)

    def __post_init__(self) -> None:
        """Checks every field, and keeps its numbers as Python's.

        Raises:
            ConfigError: If a factor has no values, or they do not ascend, or one is out of
                range.
        """
        for field in _FACTORS:
            object.__setattr__(self, field, _values(field, getattr(self, field)))
        object.__setattr__(self, "stem", _stems(self.stem))
        for stem in self.stem:
            if not any(stem in self.stems_of(patch_size) for patch_size in self.patch_size):
                check_halved(self.patch_size[0])
        largest, _ = self.largest(), self.smallest()
        for patch_size in self.patch_size:
            for stem in self.stems_of(patch_size):
                dataclasses.replace(largest, patch_size=patch_size, stem=stem)
        for field in _FIXED:  # checked as the networks'
            object.__setattr__(self, field, getattr(largest, field))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the input."""
        return image_shape(self.image_size, self.channels)

    def stems_of(self, patch_size: int) -> tuple[Stem, ...]:
        """Returns those of the space's stems that take patches of a size; one at least."""
        return tuple(stem for stem in self.stem if takes_patches(stem, patch_size)) or self.stem[:1]

    @property
    def space_factors(self) -> tuple[str, ...]:
        """Names of the factors of the space that tell its supernets apart."""
        return ("patch_size", "rank_ratio", *(("stem",) if len(self.stem) > 1 else ()))

    @property
    def network_factors(self) -> tuple[str, ...]:
        """Names of the factors of a network as a whole, within one supernet."""
        return ("embed_dim", "depth", *(("head_dim",) if len(self.head_dim) > 1 else ()))

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields by name, so that what was written before they varied is written alike.

        ``stem`` only where there is another than ``"patch"``; one ``head_dim`` as a number.
        """
        fields = dataclasses.asdict(self)
        if self.stem == ("patch",):
            del fields["stem"]
        if len(self.head_dim) == 1:
            (fields["head_dim"],) = self.head_dim
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> SearchSpace:
        """Returns the space of ``to_dict``, which may have been through JSON or TOML.

        Raises:
            ConfigError: If a field is unknown or out of range.
        """
        known = tuple(field.name for field in dataclasses.fields(cls))
        for field in fields:
            if field not in known:
                raise ConfigError(
                    f"{shown(field)} is no field of a space; known are {', '.join(known)}."
                )
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in fields.items()
        }
        return cls(**given)

    def place(self, pair: SearchSpace) -> tuple[int, ...]:
        """Returns where one of ``pairs`` lies: each factor as an index into the space's values."""
        return tuple(
            getattr(self, factor).index(getattr(pair, factor)[0]) for factor in self.space_factors
        )

    def at(self, patch_size: int, rank_ratio: float, *, stem: Stem | None = None) -> SearchSpace:
        """Returns the part of the space that one supernet holds.

        Args:
            patch_size: One of the space's.
            rank_ratio: One of the space's.
            stem: One of the space's; not needed where patches of that size have but one.

        Raises:
            ConfigError: If the space has no such value, or several stems and none is given.
        """
        for field, value in (("patch_size", patch_size), ("rank_ratio", rank_ratio)):
            if checked_factor(field, value) not in getattr(self, field):
                raise ConfigError(f"{field} is {value}; allowed are {getattr(self, field)}.")
        stems = self.stems_of(patch_size)
        if stem is None and len(stems) == 1:
            stem = stems[0]
        if stem not in stems:
            raise ConfigError(f"stem is {shown(stem)}; allowed are {stems}.")
        return dataclasses.replace(
            self, patch_size=(patch_size,), rank_ratio=(rank_ratio,), stem=(stem,)
        )

    def pairs(self) -> list[SearchSpace]:
        """Returns the parts that are one supernet each."""
        return [
            self.at(patch_size, rank_ratio, stem=stem)
            for patch_size in self.patch_size
            for rank_ratio in self.rank_ratio
            for stem in self.stems_of(patch_size)
        ]

    def largest(self) -> Architecture:
        """Returns the largest network at the smallest patch and the highest rank."""
        return self._extreme(-1, 0)

    def smallest(self) -> Architecture:
        """Returns the smallest network at the largest patch and the lowest rank."""
        return self._extreme(0, -1)

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draws every factor uniformly."""
        checked_type("rng", rng, np.random.Generator)
        depth = int(rng.choice(self.depth))
        patch_size = int(rng.choice(self.patch_size))
        return self.build(
            patch_size,
            float(rng.choice(self.rank_ratio)),
            int(rng.choice(self.embed_dim)),
            tuple(int(heads) for heads in rng.choice(self.num_heads, depth)),
            tuple(float(ratio) for ratio in rng.choice(self.mlp_ratio, depth)),
            stem=_drawn(self.stems_of(patch_size), rng),
            head_dim=_drawn(self.head_dim, rng),
        )

    def mutate(
        self,
        architecture: Architecture,
        rng: np.random.Generator,
        *,
        whole_probability: float = 0.2,
        block_probability: float = 0.4,
    ) -> Architecture:
        """Redraws factors at random (paper, B.4).

        Args:
            architecture: A network of this space.
            rng: Source of randomness.
            whole_probability: P_d, of depth, of ``embed_dim`` and of ``head_dim``.
            block_probability: P_m, of each block's heads and MLP.
        """
        checked_type("architecture", architecture, Architecture)
        checked_type("rng", rng, np.random.Generator)
        checked_real("whole_probability", whole_probability, high=1)
        checked_real("block_probability", block_probability, high=1)
        heads, ratios = list(architecture.num_heads), list(architecture.mlp_ratio)
        if rng.random() < whole_probability:
            fresh = self.sample(rng)
            heads = (heads + list(fresh.num_heads))[: fresh.depth]
            ratios = (ratios + list(fresh.mlp_ratio))[: fresh.depth]
            # Blocks missing after both lists ran out are drawn anew.
            while len(heads) < fresh.depth:
                heads.append(int(rng.choice(self.num_heads)))
                ratios.append(float(rng.choice(self.mlp_ratio)))
        embed_dim = architecture.embed_dim
        if rng.random() < whole_probability:
            embed_dim = int(rng.choice(self.embed_dim))
        head_dim = architecture.head_dim
        if len(self.head_dim) > 1 and rng.random() < whole_probability:
            head_dim = _drawn(self.head_dim, rng)
        for block in range(len(heads)):
            if rng.random() < block_probability:
                heads[block] = int(rng.choice(self.num_heads))
            if rng.random() < block_probability:
                ratios[block] = float(rng.choice(self.mlp_ratio))
        return self.build(
            architecture.patch_size, architecture.rank_ratio, embed_dim, tuple(heads),
            tuple(ratios), stem=architecture.stem, head_dim=head_dim,
        )  # fmt: skip

    def crossover(
        self, one: Architecture, other: Architecture, rng: np.random.Generator
    ) -> Architecture:
        """Takes each factor from either parent; depth from one, blocks it lacks from it."""
        checked_type("one", one, Architecture)
        checked_type("other", other, Architecture)
        checked_type("rng", rng, np.random.Generator)
        if rng.random() < 0.5:
            one, other = other, one
        heads, ratios = list(one.num_heads), list(one.mlp_ratio)
        for block in range(min(one.depth, other.depth)):
            if rng.random() < 0.5:
                heads[block] = other.num_heads[block]
            if rng.random() < 0.5:
                ratios[block] = other.mlp_ratio[block]
        embed_dim = other.embed_dim if rng.random() < 0.5 else one.embed_dim
        head_dim = one.head_dim
        if len(self.head_dim) > 1 and rng.random() < 0.5:
            head_dim = other.head_dim
        return self.build(
            one.patch_size, one.rank_ratio, embed_dim, tuple(heads), tuple(ratios), stem=one.stem,
            head_dim=head_dim,
        )  # fmt: skip

    def smaller(self, architecture: Architecture) -> list[Architecture]:
        """Returns the networks that are one value smaller in one factor, blocks together."""
        arch = checked_type("architecture", architecture, Architecture)
        lower = []
        for field in ("embed_dim", "head_dim"):
            below = [value for value in getattr(self, field) if value < getattr(arch, field)]
            if below:
                lower.append(dataclasses.replace(arch, **{field: below[-1]}))
        depths = [value for value in self.depth if value < arch.depth]
        if depths:
            lower.append(dataclasses.replace(
                arch,
                num_heads=arch.num_heads[: depths[-1]],
                mlp_ratio=arch.mlp_ratio[: depths[-1]],
            ))  # fmt: skip
        heads = tuple(_next_lower(self.num_heads, value) for value in arch.num_heads)
        ratios = tuple(_next_lower(self.mlp_ratio, value) for value in arch.mlp_ratio)
        lower.append(dataclasses.replace(arch, num_heads=heads))
        lower.append(dataclasses.replace(arch, mlp_ratio=ratios))
        return [smaller for smaller in lower if smaller != arch]

    def contains(self, architecture: Architecture) -> bool:
        """Whether a network belongs to the space."""
        arch = checked_type("architecture", architecture, Architecture)
        return (
            all(getattr(arch, field) == getattr(self, field) for field in _FIXED)
            and arch.patch_size in self.patch_size
            and arch.stem in self.stems_of(arch.patch_size)
            and arch.rank_ratio in self.rank_ratio
            and arch.embed_dim in self.embed_dim
            and arch.head_dim in self.head_dim
            and arch.depth in self.depth
            and set(arch.num_heads) <= set(self.num_heads)
            and set(arch.mlp_ratio) <= set(self.mlp_ratio)
        )

    def num_subnets(self) -> int:
        """Returns the number of networks in the space, over all its supernets."""
        block = len(self.num_heads) * len(self.mlp_ratio)
        networks = len(self.embed_dim) * sum(block**depth for depth in self.depth)
        return networks * len(self.head_dim) * len(self.pairs())

    def _extreme(self, size: int, patch: int) -> Architecture:
        depth, patch_size = self.depth[size], self.patch_size[patch]
        return self.build(
            patch_size, self.rank_ratio[size], self.embed_dim[size],
            (self.num_heads[size],) * depth, (self.mlp_ratio[size],) * depth,
            stem=self.stems_of(patch_size)[size], head_dim=self.head_dim[size],
        )  # fmt: skip

    def build(
        self,
        patch_size: int,
        rank_ratio: float | None,
        embed_dim: int,
        num_heads: tuple[int, ...],
        mlp_ratio: tuple[float, ...],
        *,
        stem: Stem | None = None,
        head_dim: int | None = None,
    ) -> Architecture:
        """Returns a network of these values, with the image and classes of the space.

        ``stem`` and ``head_dim`` are the space's first where they are not given.
        """
        return Architecture(
            self.image_size, self.channels, self.num_classes, patch_size, rank_ratio,
            self.head_dim[0] if head_dim is None else head_dim, embed_dim, num_heads, mlp_ratio,
            low_rank_attention=self.low_rank_attention, relative_position=self.relative_position,
            pooling=self.pooling, stem=self.stem[0] if stem is None else stem,
        )  # fmt: skip


def _values(field: str, given: Any) -> tuple[Any, ...]:
    found = entries(given)
    values = tuple(checked_factor(field, value) for value in ((given,) if found is None else found))
    if not values or list(values) != sorted(set(values)):
        raise ConfigError(
            f"{field} is {shown(given)}; it must be one value, or a tuple of some that ascend."
        )
    return values


def _stems(given: Any) -> tuple[Stem, ...]:
    found = tuple((given,) if isinstance(given, str) else entries(given) or (given,))
    for stem in found:
        checked_choice("stem", stem, get_args(Stem))
    if len(set(found)) < len(found):
        raise ConfigError(f"stem is {shown(given)}; each stem must be there once.")
    return tuple(stem for stem in get_args(Stem) if stem in found)


def _drawn(values: tuple, rng: np.random.Generator) -> Any:
    # Where there is no choice the generator is left as it is.
    return values[int(rng.integers(len(values)))] if len(values) > 1 else values[0]


def _next_lower(values: tuple, value: float) -> Any:
    return values[max(values.index(value) - 1, 0)]


FASHION_MNIST_SPACE = SearchSpace(
    image_size=28,
    channels=1,
    num_classes=10,
    patch_size=(4, 7),
    rank_ratio=(0.5, 0.6, 0.7, 0.8, 0.9),
    embed_dim=(32, 48, 64),
    depth=(2, 3, 4),
    num_heads=(2, 3, 4),
    mlp_ratio=(2.0, 3.0),
    head_dim=(16,),
)

# Each of 8, 16, 32, 64 and 128 KiB is too little for some: arenas of 3.5 to 129 KiB, and files of
# 26 KB to 3 MB. The paper's rank ratios; patches of 2 have no convolutional stem.
FASHION_MNIST_WIDE_SPACE = SearchSpace(
    image_size=28,
    channels=1,
    num_classes=10,
    patch_size=(2, 4, 8),
    embed_dim=(32, 48, 64, 96, 128, 192),
    depth=(2, 3, 4, 5),
    num_heads=(2, 4, 8, 12),
    mlp_ratio=(1.0, 2.0, 3.0),
    head_dim=(8, 12, 16, 24, 32),
    relative_position=True,
    stem=("patch", "conv"),
)

# Key words as 49x10 cepstral coefficients, or 98x40 log-mel energies; the usual ten words,
# unknown and silence. Within 256 KB of SRAM.
KEYWORD_SPACE = SearchSpace(
    image_size=(49, 10),
    channels=1,
    num_classes=12,
    patch_size=(3, 4, 5),
    rank_ratio=(0.5, 0.6, 0.7, 0.8, 0.9),
    embed_dim=(64, 96, 128),
    depth=(4, 5, 6),
    num_heads=(2, 3, 4),
    mlp_ratio=(2.0, 3.0),
    head_dim=(16,),
)
KEYWORD_98X40_SPACE = dataclasses.replace(KEYWORD_SPACE, image_size=(98, 40), patch_size=(5, 8, 10))

# Whether a grey picture shows a person. Within 256 KB of SRAM.
PERSON_SPACE = SearchSpace(
    image_size=96,
    channels=1,
    num_classes=2,
    patch_size=(8, 12, 16),
    rank_ratio=(0.5, 0.6, 0.7, 0.8, 0.9),
    embed_dim=(96, 128, 160),
    depth=(6, 7, 8),
    num_heads=(2, 3, 4),
    mlp_ratio=(2.0, 3.0, 4.0),
    head_dim=(32,),
)
