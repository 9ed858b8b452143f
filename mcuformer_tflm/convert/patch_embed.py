"""Export of the patch embedding."""

from __future__ import annotations

from mcuformer_tflm.convert.graph import Activation, Graph
from mcuformer_tflm.convert.layer_constants import layer_constants
from mcuformer_tflm.convert.quantization import activation_quantization
from mcuformer_tflm.convert.stem import add_stem
from mcuformer_tflm.custom_ops.reference.patch_embed import pack_patch_weights, tokens_may_overwrite
from mcuformer_tflm.keras_models.layers.class_token import ClassToken
from mcuformer_tflm.keras_models.layers.patch_embed import PatchEmbed


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
    kernel, constants = layer_constants(layer, source.quantization, [quantization], residual=True)
    return add_stem(
        "McuformerPatchEmbed",
        layer,
        graph,
        source,
        weights=pack_patch_weights(kernel.transpose(3, 0, 1, 2), tile),
        constants=constants,
        options={"tile": tile},
        image_height=image_height,
        tokens_may_overwrite=tokens_may_overwrite,
        class_token=class_token,
        read_later=read_later,
    )
