"""The form of our operators: which tensors each reads, and which options it needs.

Whoever reads a graph may rely on it. What sizes and values must agree with one another the adapters
check (``custom_ops/tflm``), when TFLM opens the model.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Protocol

from mcuformer_tflm.custom_ops.reference.conv_stem import PATCH_SIZES, channel_options
from mcuformer_tflm.custom_ops.reference.dot import BLOCK_TOKENS
from mcuformer_tflm.custom_ops.reference.patch_embed import MODES
from mcuformer_tflm.custom_ops.reference.token_blocks import MAX_BLOCK_TOKENS
from mcuformer_tflm.keras_models.exceptions import ModelError

_DTYPES = ("int8", "int16", "uint16", "int32")
_POSITIVE = range(1, 2**31)


class _Tensor(Protocol):
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> str: ...
    @property
    def constant(self) -> bool: ...


@dataclasses.dataclass(frozen=True)
class _Input:
    # Dimensions are counted as `rank`, or at least `least`.
    name: str
    _: dataclasses.KW_ONLY
    constant: bool = True
    rank: int | None = None
    least: int = 1
    optional: bool = False
    dtypes: tuple[str, ...] = _DTYPES
    # The last dimension, where it is the same for all.
    width: int | None = None
    # Whether it is there if, and only if, the input before it is.
    paired: bool = False


@dataclasses.dataclass(frozen=True)
class _Form:
    inputs: tuple[_Input, ...]
    # What each option may be without which nobody knows how much the operator reads.
    options: Mapping[str, Sequence[int]] = dataclasses.field(default_factory=dict)
    # The same of options that it may do without.
    further: Mapping[str, Sequence[int]] = dataclasses.field(default_factory=dict)
    # Numbers of inputs, where not every end that is optional may be left off.
    counts: tuple[int, ...] = ()


def _activations(name: str = "input", least: int = 1, optional: bool = False) -> _Input:
    return _Input(name, constant=False, least=least, optional=optional)


def _layer(name: str, optional: bool = False) -> tuple[_Input, _Input]:
    # int32[units, 3]: a bias, a multiplier and a shift (UnitConstants, packed_layer.h).
    constants = _Input(
        f"{name} constants", rank=2, optional=optional, dtypes=("int32",), width=3, paired=True
    )
    return _Input(f"{name} weights", optional=optional, dtypes=("int8",)), constants


_NORM = (_Input("gamma", dtypes=("int16",)), _Input("beta", dtypes=("int32",), paired=True))
_STEM = (
    _Input("image", constant=False, rank=4),
    *_layer("stem"),
    _Input("position", optional=True),
    _Input("class token", optional=True),
)
_STEM_OPTIONS: Mapping[str, Sequence[int]] = {
    "patch_size": _POSITIVE,
    "mode": range(len(MODES)),
    "image_height": _POSITIVE,
}
_OF_LAYERS: Mapping[str, Sequence[int]] = {
    "block_tokens": range(BLOCK_TOKENS, MAX_BLOCK_TOKENS + 1, BLOCK_TOKENS),
    "weight_bits": (4, 8),
}
FORMS = {
    "McuformerAdd": _Form((_activations("first input"), _activations("second input"))),
    "McuformerArgmax": _Form((_activations(),)),
    "McuformerAttention": _Form(
        (
            _activations(least=2),
            _Input("exp table"),
            *(dataclasses.replace(part, optional=True) for part in _NORM),
            *_layer("projection", optional=True),
            _Input("position bias", optional=True),
            *_layer("low-rank", optional=True),
        ),
        {"num_heads": _POSITIVE, "head_dim": _POSITIVE},
        {**_OF_LAYERS, "grid": _POSITIVE, "grid_columns": _POSITIVE},
    ),
    "McuformerConvStem": _Form(_STEM, {**_STEM_OPTIONS, "patch_size": PATCH_SIZES}),
    "McuformerFullyConnected": _Form(
        (
            _activations(),
            _activations("residual", optional=True),
            _Input("GELU table", optional=True),
            *_layer("first"),
            *_layer("second", optional=True),
        ),
        further=_OF_LAYERS,
    ),
    "McuformerGelu": _Form((_activations(), _Input("table"))),
    "McuformerLayerNorm": _Form((_activations(), *_NORM)),
    "McuformerMeanPool": _Form((_activations(),)),
    "McuformerMlp": _Form(
        (
            _activations(),
            *_NORM,
            _Input("GELU table"),
            *(part for i in range(4) for part in _layer(f"layer {i}", optional=i > 1)),
        ),
        further=_OF_LAYERS,
        counts=(8, 12),
    ),
    "McuformerPatchEmbed": _Form(_STEM, {**_STEM_OPTIONS, "tile": _POSITIVE}),
    "McuformerSoftmax": _Form((_activations(), _Input("table"))),
    "McuformerTokenPool": _Form((_activations(),), {"size": _POSITIVE, "columns": _POSITIVE}),
}


def check_form(
    code: str,
    inputs: Sequence[_Tensor | None],
    outputs: Sequence[_Tensor],
    options: Mapping[str, int],
) -> None:
    """Checks that an operator of ours has its form; of another nothing is known.

    Args:
        code: Its custom code.
        inputs: The tensors that it reads, None where one is absent.
        outputs: Those that it writes.
        options: Its options.

    Raises:
        ModelError: If an input, an option or the output is missing or of another kind; names it.
    """
    form = FORMS.get(code)
    if form is None:
        return
    needed = [i for i, part in enumerate(form.inputs) if not part.optional]
    counts = form.counts or range(needed[-1] + 1, len(form.inputs) + 1)
    if len(inputs) not in counts or len(outputs) != 1:
        raise ModelError(
            f"{code} reads {len(inputs)} tensors and writes {len(outputs)}; it reads "
            f"{' or '.join(map(str, counts))} and writes 1."
        )
    before: _Tensor | None = None
    for part, tensor in itertools.zip_longest(form.inputs, inputs):
        _check_input(code, part, tensor)
        if part.paired and (tensor is None) is not (before is None):
            raise ModelError(f"{code} has {part.name} or what goes before it, but not both.")
        before = tensor
    if outputs[0].dtype not in _DTYPES or not outputs[0].shape:
        raise ModelError(f"{code} writes a scalar, or {outputs[0].dtype}.")
    for name, allowed in form.options.items():
        _check_option(code, options, name, allowed)
    for name, allowed in form.further.items():
        if name in options:
            _check_option(code, options, name, allowed)
    if code == "McuformerConvStem":
        for name in channel_options(options["patch_size"]):
            _check_option(code, options, name, _POSITIVE)


def _check_option(code: str, options: Mapping[str, int], name: str, allowed: Sequence[int]) -> None:
    found = options.get(name)
    if found is None or found not in allowed:
        shown: object = allowed
        if isinstance(allowed, range):
            step = f" in steps of {allowed.step}" if allowed.step > 1 else ""
            shown = f"{allowed[0]} to {allowed[-1]}{step}"
        raise ModelError(f"{code} has {name}={found}; allowed are {shown}.")


def _check_input(code: str, part: _Input, tensor: _Tensor | None) -> None:
    if tensor is None:
        if part.optional:
            return
        raise ModelError(f"{code} lacks its {part.name}.")
    if tensor.constant is not part.constant:
        wanted = "a constant" if part.constant else "no constant"
        raise ModelError(f"{code} needs {wanted} as its {part.name}.")
    rank = len(tensor.shape)
    if (
        tensor.dtype not in part.dtypes
        or rank < part.least
        or part.rank not in (None, rank)
        or part.width not in (None, *tensor.shape[-1:])
    ):
        wanted = f"{part.rank}" if part.rank is not None else f"{part.least} or more"
        last = "" if part.width is None else f", the last of {part.width}"
        raise ModelError(
            f"{code} has {tensor.dtype}{list(tensor.shape)} as its {part.name}; it takes "
            f"{', '.join(part.dtypes)} of {wanted} dimensions{last}."
        )
