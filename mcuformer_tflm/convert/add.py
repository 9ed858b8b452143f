"""Export of the sum of two branches."""

from __future__ import annotations

from mcuformer_tflm.convert.graph import Activation, Graph
from mcuformer_tflm.convert.quantization import activation_quantization
from mcuformer_tflm.custom_ops.reference.add import add_options
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.layers.add import Add


def export_add(layer: Add, graph: Graph, first: Activation, second: Activation) -> Activation:
    """Adds ``McuformerAdd``.

    Raises:
        ConfigError: If the sum is so small beside its summands that its scale cannot be joined
            with theirs.
    """
    quantization = activation_quantization(layer, "output")
    scales = [(q.scale, q.zero_point) for q in (first.quantization, second.quantization)]
    try:
        options = add_options(
            *scales[0], *scales[1], quantization.scale, quantization.zero_point, quantization.dtype
        )
    except ValueError as error:
        raise ConfigError(
            f"{layer.name} adds tensors of the scales {scales[0][0]:.3g} and {scales[1][0]:.3g} to "
            f"a sum of {quantization.scale:.3g}: they cancel each other out, and their scales "
            "cannot be joined. Leave the sum out, or train the network on."
        ) from error
    output = graph.add_activation(layer.name, first.shape, quantization)
    graph.add_operator("McuformerAdd", [first.index, second.index], output, options)
    return output
