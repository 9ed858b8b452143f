"""Export of the patch embedding."""

from __future__ import annotations

import numpy as np

from mcuformer_tflm.convert.class_token import add_class_token
from mcuformer_tflm.convert.graph import Activation, Graph
from mcuformer_tflm.convert.layer_constants import layer_constants
from mcuformer_tflm.convert.quantization import activation_quantization, numbers
from mcuformer_tflm.custom_ops.reference.patch_embed import (
    MODES,
    pack_patch_weights,
    tokens_may_overwrite,
)
from mcuformer_tflm.keras_models.layers.class_token import ClassToken
from mcuformer_tflm.keras_models.layers.patch_embed import PatchEmbed
from mcuformer_tflm.keras_models.quantization.integer_matrix import residual_multiplier


def export_patch_embed(
    layer: PatchEmbed,
    graph: Graph,
    source: Activation,
    image_height: int,
    tile: int = 4,
    *,
    class_token: ClassToken | None = None,
    read_later: bool = False,
) -> Activation:
    """Adds ``McuformerPatchEmbed``, summed over partial convolutions of ``tile`` pixels.

    Args:
        layer: The patch embedding.
        graph: Where to.
        source: The whole image, or a strip of ``patch_size`` rows of it.
        image_height: Rows of the image.
        tile: Side of a partial convolution.
        class_token: Which writes a token before the patches.
        read_later: Whether another stem reads the image afterwards, so that it must stay.
    """
    quantization = activation_quantization(layer, "output")
    position_quantization = activation_quantization(layer, "position")
    kernel, constants = layer_constants(layer, source.quantization, [quantization], residual=True)
    weights = kernel.transpose(3, 0, 1, 2)
    position = layer.integer_position().numpy().astype(np.int8)
    inputs = [
        source.index,
        graph.add_constant(f"{layer.name}/weights", pack_patch_weights(weights, tile)),
        graph.add_constant(f"{layer.name}/constants", constants),
        graph.add_constant(f"{layer.name}/position", position),
    ]
    if class_token is not None:
        inputs.append(add_class_token(class_token, graph, quantization))
    whole = source.shape[1] == image_height
    width, channels = source.shape[2:]
    in_place = not read_later and tokens_may_overwrite(
        image_height,
        width,
        layer.patch_size,
        channels,
        layer.embed_dim,
        quantization.num_bits // 8,
        class_token is not None,
    )
    multiplier, shift = numbers(residual_multiplier(position_quantization, quantization))
    options = {
        "mode": MODES.index("in place" if in_place else "whole") if whole
        else MODES.index("strips"),
        "image_height": image_height,
        "patch_size": layer.patch_size,
        "tile": tile,
        "input_zero_point": source.quantization.zero_point,
        "output_zero_point": quantization.zero_point,
        "position_multiplier": multiplier,
        "position_shift": shift,
    }  # fmt: skip
    shape = (1, layer.num_tokens + (class_token is not None), layer.embed_dim)
    output = graph.add_activation(layer.name, shape, quantization)
    graph.add_operator("McuformerPatchEmbed", inputs, output, options)
    return output
