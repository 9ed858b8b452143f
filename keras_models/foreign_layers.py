"""What of ours does instead of a layer that is none of ours."""

from __future__ import annotations

from typing import Any

_NOTHING = "Leave it out"
_GELU = "Gelu() is the activation that has an operator"
_JOINED = (
    "A residual is the second input of FullyConnected(units)([tokens, residual]), and Add() adds "
    "two branches"
)
_STEM = (
    "PatchEmbed(embed_dim, patch_size) makes tokens of an image, or ConvStem(embed_dim, "
    "patch_size), by convolutions of 3x3"
)
_POOLED = "TokenPool(grid, size) averages neighbouring tokens"
_INSTEAD = {
    "Dense": "FullyConnected(units) is such a layer",
    "EinsumDense": "FullyConnected(units) multiplies tokens by a matrix",
    "LayerNormalization": "LayerNorm() is such a layer",
    "BatchNormalization": "LayerNorm() normalises tokens",
    "UnitNormalization": "LayerNorm() normalises tokens",
    "GroupNormalization": "LayerNorm() normalises tokens",
    "MultiHeadAttention": "FullyConnected(3 * width, parts=3), then Attention(head_dim), then "
    "FullyConnected(units) do the same",
    "Attention": "FullyConnected(3 * width, parts=3), then Attention(head_dim) of mcuformer_tflm "
    "do the same",
    "Conv2D": _STEM,
    "SeparableConv2D": _STEM,
    "DepthwiseConv2D": _STEM,
    "Embedding": "Positions are weights of PatchEmbed(embed_dim, patch_size) and of ConvStem",
    "GlobalAveragePooling1D": "MeanPool() is such a layer",
    "GlobalAveragePooling2D": "MeanPool() averages the tokens",
    "AveragePooling1D": _POOLED,
    "AveragePooling2D": _POOLED,
    "MaxPooling1D": _POOLED,
    "MaxPooling2D": _POOLED,
    "Add": _JOINED,
    "Average": _JOINED,
    "Subtract": _JOINED,
    "Concatenate": _JOINED,
    "Activation": _GELU,
    "ReLU": _GELU,
    "LeakyReLU": _GELU,
    "ELU": _GELU,
    "PReLU": _GELU,
    "Softmax": f"{_NOTHING}: a classifier gives logits, and their order is that of the softmax",
    "Rescaling": f"{_NOTHING}: images enter as bytes, or as floats in [-1, 1)",
    "Normalization": f"{_NOTHING}: images enter as bytes, or as floats in [-1, 1)",
    "Resizing": f"{_NOTHING}, and give images of the size that the network takes",
    "Dropout": f"{_NOTHING}: once a network is trained it does nothing",
    "SpatialDropout1D": f"{_NOTHING}: once a network is trained it does nothing",
    "AlphaDropout": f"{_NOTHING}: once a network is trained it does nothing",
    "GaussianDropout": f"{_NOTHING}: once a network is trained it does nothing",
    "GaussianNoise": f"{_NOTHING}: once a network is trained it does nothing",
    "ActivityRegularization": f"{_NOTHING}: once a network is trained it does nothing",
    "Identity": _NOTHING,
    "Reshape": f"{_NOTHING}: layers of ours take tokens as [batch, tokens, width]",
    "Flatten": "MeanPool() makes one vector of the tokens",
    "Functional": "Call its layers one by one: a model within a model is not looked into",
    "Sequential": "Call its layers one by one: a model within a model is not looked into",
}
# TensorFlow's operators in a functional model, by what their names hold.
_OPERATORS = {
    "add": _JOINED,
    "reduce_mean": "MeanPool() averages the tokens",
    "gelu": _GELU,
    "relu": _GELU,
    "softmax": _INSTEAD["Softmax"],
    "matmul": _INSTEAD["Dense"],
    "concat": _JOINED,
    "getitem": "MeanPool() makes one vector of the tokens",
    "reshape": _INSTEAD["Reshape"],
}


def instead_of(layer: Any) -> str:
    """Returns in a sentence what does instead of a foreign Keras layer."""
    kind, name = type(layer).__name__, str(layer.name)
    if kind in ("TFOpLambda", "SlicingOpLambda"):
        found = next((text for part, text in _OPERATORS.items() if part in name), None)
    else:
        found = _INSTEAD.get(kind)
    return f"{found or 'Make it of the layers in mcuformer_tflm.keras_models'}."
