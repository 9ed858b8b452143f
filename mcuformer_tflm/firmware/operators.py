"""The call of each kernel, one function an operator, found by its custom code.

Positions of inputs and names of options are those of the adapters (``custom_ops/tflm``), which
have checked the model before it comes here.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from mcuformer_tflm.custom_ops.reference.conv_stem import stage_channels
from mcuformer_tflm.custom_ops.reference.patch_embed import MODES
from mcuformer_tflm.firmware.step import Step, braces
from mcuformer_tflm.plan.operator_memory import block_tokens_of


def emit_add(step: Step) -> str:
    """Returns the call of ``Add``."""
    first, second = (
        braces(zero_point=step.option(f"{name}_zero_point"), rescale=step.factor(name))
        for name in ("first", "second")
    )
    params = braces(
        first=first,
        second=second,
        output_zero_point=step.option("output_zero_point"),
        output=step.factor("output"),
    )
    size = math.prod(step.output.shape)
    return _call("Add", params, str(size), step.input_at(), step.input_at(1), step.output_at())


def emit_argmax(step: Step) -> str:
    """Returns the call of ``Argmax``."""
    rows, units = math.prod(step.source.shape[:-1]), step.source.shape[-1]
    return _call("Argmax", str(rows), str(units), step.input_at(), step.output_at())


def emit_attention(step: Step) -> str:
    """Returns the call of ``Attention``."""
    rows, low_rank = step.option("grid") if step.has(6) else 0, step.has(7)
    params = braces(
        tokens=step.source.shape[-2],
        width=step.shape(8)[0] if low_rank else step.source.shape[-1],
        num_heads=step.option("num_heads"),
        head_dim=step.option("head_dim"),
        output_zero_point=step.option("output_zero_point"),
        score=step.factor("score"),
        context=step.factor("context"),
        grid_rows=rows,
        grid_columns=step.operator.options.get("grid_columns", rows),
        rank_zero_point=step.option("rank_zero_point") if low_rank else 0,
        norm=_norm(step) if step.has(2) else "{}",
        block_tokens=block_tokens_of(step.operator),
    )
    weights = braces(
        qkv=step.layer(4),
        gamma=step.constant(2),
        beta=step.constant(3),
        exp_table=step.constant(1),
        position_bias=step.constant(6),
        qkv_u=step.layer(7),
    )
    return _call("Attention", params, weights, step.input_at(), step.scratch_at(), step.output_at())


def emit_conv_stem(step: Step) -> str:
    """Returns the call of ``ConvStem``; ``rows`` is where strips come from."""
    channels = stage_channels(step.operator.options)
    params = braces(
        **_image(step),
        stages=len(channels),
        stage_channels="{" + ", ".join(map(str, channels)) + "}",
        **_tokens(step),
    )
    return _stem("ConvStem", step, params)


def emit_fully_connected(step: Step) -> str:
    """Returns the call of ``FullyConnected`` or ``FullyConnectedResidual``."""
    pair = step.has(5)
    params = braces(
        tokens=math.prod(step.source.shape[:-1]),
        width=step.source.shape[-1],
        units=step.output.shape[-1],
        rank=step.shape(4)[0] if pair else 0,
        rank_zero_point=step.option("rank_zero_point") if pair else 0,
        output_zero_point=step.option("output_zero_point"),
        block_tokens=block_tokens_of(step.operator),
    )
    weights = braces(layer=step.layer(3), second=step.layer(5), gelu_table=step.constant(2))
    if not step.has(1):
        return _call(
            "FullyConnected", params, weights, step.input_at(), step.scratch_at(), step.output_at()
        )
    return _call(
        "FullyConnectedResidual", params, weights, _residual(step), step.input_at(),
        step.input_at(1), step.scratch_at(), step.output_at(),
    )  # fmt: skip


def emit_gelu(step: Step) -> str:
    """Returns the call of ``Gelu``."""
    size = math.prod(step.source.shape)
    return _call("Gelu", str(size), step.input_at(), step.constant(1), step.output_at())


def emit_layer_norm(step: Step) -> str:
    """Returns the call of ``LayerNorm``."""
    tokens = math.prod(step.output.shape[:-1])  # the leading ones of the input
    return _call(
        "LayerNorm", _norm(step), str(tokens), step.input_at(), step.constant(1),
        step.constant(2), step.output_at(),
    )  # fmt: skip


def emit_mean_pool(step: Step) -> str:
    """Returns the call of ``MeanPool``."""
    params = braces(
        tokens=math.prod(step.source.shape[:-1]),
        width=step.source.shape[-1],
        input_zero_point=step.option("input_zero_point"),
        output_zero_point=step.option("output_zero_point"),
        output=step.factor(""),
    )
    return _call("MeanPool", params, step.input_at(), step.output_at())


def emit_mlp(step: Step) -> str:
    """Returns the call of ``Mlp``, with four layers where it is of low rank, else two."""
    low_rank = len(step.operator.inputs) > 8
    at = (4, 6, 8, 10) if low_rank else (-1, 4, -1, 6)
    fc1_u, fc1_v, fc2_u, fc2_v = (step.layer(p) if p > 0 else "{}" for p in at)
    params = braces(
        tokens=math.prod(step.source.shape[:-1]),
        width=step.source.shape[-1],
        hidden=step.shape(at[1] + 1)[0],
        rank=step.shape(5)[0] if low_rank else 0,
        fc1_rank_zero_point=step.option("fc1_rank_zero_point") if low_rank else 0,
        hidden_zero_point=step.option("hidden_zero_point"),
        fc2_rank_zero_point=step.option("fc2_rank_zero_point") if low_rank else 0,
        output_zero_point=step.option("output_zero_point"),
        residual=_residual(step),
        norm=_norm(step),
        block_tokens=block_tokens_of(step.operator),
    )
    weights = braces(
        gamma=step.constant(1), beta=step.constant(2), gelu_table=step.constant(3),
        fc1_u=fc1_u, fc1_v=fc1_v, fc2_u=fc2_u, fc2_v=fc2_v,
    )  # fmt: skip
    return _call("Mlp", params, weights, step.input_at(), step.scratch_at(), step.output_at())


def emit_patch_embed(step: Step) -> str:
    """Returns the call of ``PatchEmbed``; ``rows`` is where strips come from."""
    tokens = _tokens(step)
    params = braces(
        **_image(step),
        patch_size=step.option("patch_size"),
        embed_dim=tokens.pop("embed_dim"),
        tile=step.option("tile"),
        **tokens,
    )
    return _stem("PatchEmbed", step, params)


def emit_softmax(step: Step) -> str:
    """Returns the call of ``Softmax``."""
    rows, width = math.prod(step.source.shape[:-1]), step.source.shape[-1]
    return _call(
        "Softmax", str(rows), str(width), step.input_at(), step.constant(1), step.output_at()
    )


def emit_token_pool(step: Step) -> str:
    """Returns the call of ``TokenPool``."""
    size = step.option("size")
    columns = step.option("columns") // size
    params = braces(
        rows=math.prod(step.output.shape[:-1]) // columns,
        columns=columns,
        size=size,
        width=step.source.shape[-1],
        input_zero_point=step.option("input_zero_point"),
        output_zero_point=step.option("output_zero_point"),
        output=step.factor(""),
    )
    return _call("TokenPool", params, step.input_at(), step.output_at())


EMITTERS: dict[str, Callable[[Step], str]] = {
    "McuformerAdd": emit_add,
    "McuformerArgmax": emit_argmax,
    "McuformerAttention": emit_attention,
    "McuformerConvStem": emit_conv_stem,
    "McuformerFullyConnected": emit_fully_connected,
    "McuformerGelu": emit_gelu,
    "McuformerLayerNorm": emit_layer_norm,
    "McuformerMeanPool": emit_mean_pool,
    "McuformerMlp": emit_mlp,
    "McuformerPatchEmbed": emit_patch_embed,
    "McuformerSoftmax": emit_softmax,
    "McuformerTokenPool": emit_token_pool,
}


def _image(step: Step) -> dict[str, object]:
    return {
        "height": step.option("image_height"),
        "width": step.source.shape[2],
        "channels": step.source.shape[3],
    }


def _tokens(step: Step) -> dict[str, object]:
    return {
        "embed_dim": step.output.shape[-1],
        "input_zero_point": step.option("input_zero_point"),
        "output_zero_point": step.option("output_zero_point"),
        "position": step.factor("position") if step.has(3) else "{}",
        "mode": f"static_cast<mcuformer::ImageMode>({step.option('mode')})",
    }


def _stem(function: str, step: Step, params: str) -> str:
    strips = MODES[step.option("mode")] == "strips"
    weights = braces(layer=step.layer(1), position=step.constant(3), class_token=step.constant(4))
    source = braces(
        pixels=step.input_at(),
        read="rows.read" if strips else "nullptr",
        context="rows.context" if strips else "nullptr",
    )
    call = _call(function, params, weights, source, step.scratch_at(), step.output_at())
    return f"return {call}"


def _norm(step: Step) -> str:
    return braces(
        width=step.source.shape[-1],
        epsilon=step.option("epsilon"),
        iterations=step.option("iterations"),
        normalised_bits=step.option("normalised_bits"),
    )


def _residual(step: Step) -> str:
    return braces(zero_point=step.option("residual_zero_point"), rescale=step.factor("residual"))


def _call(function: str, *arguments: str) -> str:
    return f"mcuformer::{function}(\n      " + ",\n      ".join(arguments) + ");"
