"""Export of the convolutional stem."""

from __future__ import annotations

import numpy as np

from mcuformer_tflm.convert.graph import Activation, Graph
from mcuformer_tflm.convert.layer_constants import layer_constants
from mcuformer_tflm.convert.quantization import activation_quantization
from mcuformer_tflm.convert.stem import add_stem
from mcuformer_tflm.custom_ops.reference.conv_stem import (
    pack_stem_weights,
    stage_options,
    tokens_may_overwrite,
)
from mcuformer_tflm.keras_models.layers.class_token import ClassToken
from mcuformer_tflm.keras_models.layers.conv_stem import ConvStem


def export_conv_stem(
    layer: ConvStem,
    graph: Graph,
    source: Activation,
    image_height: int,
    *,
    class_token: ClassToken | None = None,
    read_later: bool = False,
) -> Activation:
    """Adds ``McuformerConvStem``, which computes all stages and the projection row by row.

    Args:
        layer: The convolutional stem.
        graph: Where to.
        source: The whole image, or a strip of ``STRIP_ROWS`` rows of it.
        image_height: Rows of the image.
        class_token: Which writes a token before the patches.
        read_later: Whether another stem reads the image afterwards, so that it must stay.
    """
    quantization, before = activation_quantization(layer, "output"), source.quantization
    kernels, constants = [], []
    for stage in layer.stages:
        after = activation_quantization(layer, f"stage_{stage}")
        kernel, own = layer_constants(
            layer, before, [after], kernel=f"kernel_{stage}", bias=f"bias_{stage}"
        )
        kernels.append(kernel.transpose(3, 0, 1, 2))
        constants.append(own)
        before = after
    projection, own = layer_constants(layer, before, [quantization], residual=True)
    return add_stem(
        "McuformerConvStem",
        layer,
        graph,
        source,
        weights=pack_stem_weights(kernels, projection.T),
        constants=np.concatenate([*constants, own]),
        options=stage_options([len(kernel) for kernel in kernels]),
        image_height=image_height,
        tokens_may_overwrite=tokens_may_overwrite,
        class_token=class_token,
        read_later=read_later,
    )
