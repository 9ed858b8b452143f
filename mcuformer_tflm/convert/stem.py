"""What the export of every stem has in common."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mcuformer_tflm.convert.class_token import add_class_token
from mcuformer_tflm.convert.graph import Activation, Graph
from mcuformer_tflm.convert.quantization import activation_quantization, numbers
from mcuformer_tflm.custom_ops.reference.patch_embed import MODES
from mcuformer_tflm.keras_models.layers.class_token import ClassToken
from mcuformer_tflm.keras_models.layers.stem import Stem
from mcuformer_tflm.keras_models.quantization.integer_matrix import residual_multiplier


def add_stem(
    code: str,
    layer: Stem,
    graph: Graph,
    source: Activation,
    *,
    weights: np.ndarray,
    constants: np.ndarray,
    options: dict[str, int],
    image_height: int,
    tokens_may_overwrite: Callable[..., bool],
    class_token: ClassToken | None,
    read_later: bool,
) -> Activation:
    """Adds the operator of a stem, with its positions.

    Args:
        code: The operator's.
        layer: The stem.
        graph: Where to.
        source: The whole image, or a strip of it.
        weights: int8, packed.
        constants: int32[units, 3].
        options: Those that this operator alone has.
        image_height: Rows of the image.
        tokens_may_overwrite: The twin's rule for an image that is whole.
        class_token: Which writes a token before the patches.
        read_later: Whether another stem reads the image afterwards, so that it must stay.
    """
    quantization = activation_quantization(layer, "output")
    position_quantization = activation_quantization(layer, "position")
    position = layer.integer_position().numpy().astype(np.int8)
    inputs = [
        source.index,
        graph.add_constant(f"{layer.name}/weights", weights),
        graph.add_constant(f"{layer.name}/constants", constants),
        graph.add_constant(f"{layer.name}/position", position),
    ]
    if class_token is not None:
        inputs.append(add_class_token(class_token, graph, quantization))
    mode = "strips"
    if source.shape[1] == image_height:
        in_place = not read_later and tokens_may_overwrite(
            image_height, source.shape[2], layer.patch_size, source.shape[3], layer.embed_dim,
            quantization.num_bits // 8, class_token is not None,
        )  # fmt: skip
        mode = "in place" if in_place else "whole"
    multiplier, shift = numbers(residual_multiplier(position_quantization, quantization))
    shape = (1, layer.num_tokens + (class_token is not None), layer.embed_dim)
    output = graph.add_activation(layer.name, shape, quantization)
    graph.add_operator(code, inputs, output, {
        "mode": MODES.index(mode),
        "image_height": image_height,
        "patch_size": layer.patch_size,
        **options,
        "input_zero_point": source.quantization.zero_point,
        "output_zero_point": quantization.zero_point,
        "position_multiplier": multiplier,
        "position_shift": shift,
    })  # fmt: skip
    return output
