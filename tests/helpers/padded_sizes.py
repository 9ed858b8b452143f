"""Sizes at which the fused operators pad and share their scratch in every way.

Blocks and packed weights are padded to multiples of 4 or 8 values, and where two lie in one
place it is as large as the larger. ``cases(name)`` meets each remainder modulo 8 of each size
that is padded, together with each outcome of the operator's comparisons and each of its
``options``.
"""

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from mcuformer_tflm.custom_ops.reference import conv_stem
from mcuformer_tflm.custom_ops.reference.dot import round_up, token_block_bytes
from mcuformer_tflm.custom_ops.reference.patch_embed import MODES, tokens_may_overwrite

_STEP = 8
_MOST_DRAWS = 20_000
_TOKENS = range(1, 21)  # up to five blocks
# Tokens that one pass over the weights serves: one block, several of them, all.
_BLOCK_TOKENS = (4, 8, 12, 64)
_SIZES = range(1, 33)
_BITS = (8, 4)


@dataclass(frozen=True)
class FusedOperator:
    """What the sizes of an operator are drawn from, and what they must meet.

    Attributes:
        drawn: Values of each size and option, by name.
        padded: Returns the sizes that are padded: some of a name, by name.
        differences: Returns of each two things that are compared how much larger the first is.
        options: Names of drawn options with each value of which all must be met.
        valid: Whether the operator takes these sizes.
    """

    drawn: dict
    padded: Callable
    differences: Callable = lambda sizes: ()
    options: tuple = ()
    valid: Callable = lambda sizes: True

    def met(self, sizes):
        """Returns {(name, remainder, options, signs)} of one case."""
        signs = tuple(int(np.sign(difference)) for difference in self.differences(sizes))
        chosen = tuple(getattr(sizes, option) for option in self.options)
        return {
            (name, value % _STEP, chosen, signs)
            for name, values in self.padded(sizes).items()
            for value in values
        }

    def wanted(self):
        """Returns all that ``met`` can return, but for what is of equal size."""
        example = SimpleNamespace(**{name: values[0] for name, values in self.drawn.items()})
        signs = itertools.product((-1, 1), repeat=len(self.differences(example)))
        chosen = itertools.product(*(self.drawn[option] for option in self.options))
        return set(itertools.product(self.padded(example), range(_STEP), chosen, signs))


def _sizes(*names):
    return lambda sizes: {name: [getattr(sizes, name)] for name in names}


def _normalised(sizes):
    return 4 * sizes.width  # LayerNorm's output, int8


def _tiles(sizes):
    along = [min(sizes.tile, sizes.patch - start) for start in range(0, sizes.patch, sizes.tile)]
    values = [height * width * sizes.channels for height in along for width in along]
    return {"values": values, "embed_dim": [sizes.embed_dim], "patches": [_patches(sizes)]}


def _patches(sizes):
    return -(-sizes.height // sizes.patch) * -(-sizes.width // sizes.patch)


def stem_channels(sizes):
    """Returns the channels of each stage of a convolutional stem."""
    return (sizes.first, sizes.second, sizes.third)[: sizes.stages]


def _columns(sizes):
    halvings = range(1, sizes.stages + 1)
    return {
        "taps": [9 * sizes.channels],
        "embed_dim": [sizes.embed_dim],
        "columns": [-(-sizes.width // 2**i) for i in halvings],
    }


def _stem_differences(sizes):
    channels = stem_channels(sizes)
    taps = 9 * max(sizes.channels, *channels[:-1])
    return (token_block_bytes(channels[-1]) - taps,)


OPERATORS = {
    "mlp of low rank": FusedOperator(
        {"tokens": _TOKENS, "width": _SIZES, "hidden": _SIZES, "rank": _SIZES, "bits": _BITS,
         "dtype": ("int8", "int16"), "block_tokens": _BLOCK_TOKENS},
        _sizes("tokens", "width", "hidden", "rank"),
        lambda s: (token_block_bytes(s.rank) - _normalised(s),
                   token_block_bytes(s.hidden) - token_block_bytes(s.width)),
        ("bits",),
    ),
    "mlp": FusedOperator(
        {"tokens": _TOKENS, "width": _SIZES, "hidden": _SIZES, "bits": _BITS,
         "dtype": ("int8", "int16"), "block_tokens": _BLOCK_TOKENS},
        _sizes("tokens", "width", "hidden"),
        lambda s: (token_block_bytes(s.hidden) - _normalised(s),),
        ("bits",),
    ),
    "attention with projections": FusedOperator(
        {"tokens": range(1, 25), "width": _SIZES, "heads": (1, 2, 3), "head_dim": range(1, 17),
         "bits": _BITS, "source": ("normalised", "int8", "int16"),
         "block_tokens": _BLOCK_TOKENS},
        _sizes("tokens", "width", "head_dim"),
        lambda s: (token_block_bytes(s.tokens) - round_up(_normalised(s), 16),),
        ("bits", "source"),
    ),
    "attention of low rank": FusedOperator(
        {"tokens": range(1, 33), "width": range(1, 65), "rank": range(1, 33), "heads": (1, 2, 3),
         "head_dim": range(1, 17), "bits": _BITS, "source": ("int8", "int16"),
         "block_tokens": _BLOCK_TOKENS},
        _sizes("tokens", "width", "rank", "head_dim"),
        # Which of three is the largest.
        lambda s: (token_block_bytes(s.tokens) - round_up(_normalised(s), 16),
                   token_block_bytes(s.rank) - round_up(_normalised(s), 16)),
        ("bits",),
    ),
    "attention": FusedOperator(
        {"tokens": range(1, 25), "heads": (1, 2, 3), "head_dim": range(1, 17)},
        _sizes("tokens", "head_dim"),
        options=("heads",),
    ),
    "fully connected": FusedOperator(
        {"tokens": _TOKENS, "width": _SIZES, "units": _SIZES, "bits": _BITS,
         "gelu": (False, True), "block_tokens": _BLOCK_TOKENS},
        _sizes("tokens", "width", "units"),
        lambda s: (s.units - s.width,),
        ("bits",),
    ),
    "fully connected of low rank": FusedOperator(
        {"tokens": _TOKENS, "width": _SIZES, "rank": _SIZES, "units": _SIZES, "bits": _BITS,
         "gelu": (False, True), "block_tokens": _BLOCK_TOKENS},
        _sizes("tokens", "width", "rank", "units"),
        lambda s: (s.units - s.width,),
        ("bits",),
    ),
    "fully connected with residual": FusedOperator(
        {"tokens": _TOKENS, "width": _SIZES, "rank": range(1, 17), "units": _SIZES,
         "bits": _BITS, "low_rank": (False, True), "dtype": ("int8", "int16"),
         "block_tokens": _BLOCK_TOKENS},
        _sizes("tokens", "width", "rank", "units"),
        options=("bits", "low_rank"),
    ),
    "patch embedding": FusedOperator(
        {"height": range(1, 14), "width": range(1, 14), "channels": range(1, 8),
         "patch": range(1, 8), "embed_dim": range(1, 17), "tile": range(1, 8),
         "mode": ("whole", "in place"), "dtype": ("int8", "int16"),
         "class_token": (False, True)},
        _tiles,
        lambda s: (s.tile - s.patch,),
        ("mode", "class_token"),
        lambda s: s.patch <= min(s.height, s.width) and (
            s.mode == "whole" or tokens_may_overwrite(
                s.height, s.width, s.patch, s.channels, s.embed_dim,
                np.dtype(s.dtype).itemsize, s.class_token)),
    ),
    "convolutional stem": FusedOperator(
        {"height": range(1, 14), "width": range(1, 20), "channels": range(1, 9),
         "stages": (2, 3), "first": (4, 8), "second": (4, 8, 12), "third": (4, 12, 16),
         "embed_dim": range(1, 17), "class_token": (False, True), "mode": MODES,
         "dtype": ("int8", "int16")},
        _columns,
        _stem_differences,
        ("mode",),
        lambda s: s.mode != "in place" or conv_stem.tokens_may_overwrite(
            s.height, s.width, 2**s.stages, s.channels, s.embed_dim, np.dtype(s.dtype).itemsize,
            s.class_token),
    ),
}  # fmt: skip


@functools.cache
def cases(name):
    """Returns sizes and options of an operator, the same on each call, that meet all."""
    operator = OPERATORS[name]
    rng = np.random.default_rng(0)
    missing, found = operator.wanted(), []
    for _ in range(_MOST_DRAWS):
        drawn = {key: values[rng.integers(len(values))] for key, values in operator.drawn.items()}
        sizes = SimpleNamespace(**drawn)
        if operator.valid(sizes) and missing & operator.met(sizes):
            found.append(sizes)
            missing -= operator.met(sizes)
            if not missing:
                break
    return found


def label(sizes):
    """Returns a case's name for pytest."""
    return "-".join(f"{name}_{value}".replace(" ", "_") for name, value in vars(sizes).items())
