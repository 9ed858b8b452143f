"""Runs a converted model with the numpy twins alone."""

import numpy as np

from mcuformer_tflm.custom_ops.reference.attention import attention
from mcuformer_tflm.custom_ops.reference.fully_connected import fully_connected
from mcuformer_tflm.custom_ops.reference.gelu import gelu
from mcuformer_tflm.custom_ops.reference.layer_norm import layer_norm
from mcuformer_tflm.custom_ops.reference.mean_pool import mean_pool
from mcuformer_tflm.custom_ops.reference.patch_embed import patch_embed
from mcuformer_tflm.tflite.model_graph import ModelGraph, Operator


def run_twin(graph: ModelGraph, source: np.ndarray) -> np.ndarray:
    """Returns the output for one input with its batch of 1."""
    values = {graph.inputs[0]: source}
    for operator in graph.operators:
        output = graph.tensors[operator.outputs[0]]
        inputs = [_value(graph, values, index) for index in operator.inputs]
        result = _run(operator, inputs, output.dtype)
        values[operator.outputs[0]] = result.reshape(output.shape)
    return values[graph.outputs[0]]


def _value(graph, values, index):
    tensor = graph.tensors[index]
    if tensor.constant:
        return np.frombuffer(tensor.data, tensor.dtype).reshape(tensor.shape)
    return values[index]


def _rows(x):
    return x.reshape(-1, x.shape[-1])


def _run(operator: Operator, inputs: list[np.ndarray], dtype: str) -> np.ndarray:
    options = dict(operator.options)
    match operator.code:
        case "McuformerPatchEmbed":
            del options["patch_size"], options["tile"]
            image, *constants = inputs
            position = constants.pop() if len(constants) > 4 else None
            return patch_embed(
                image[0], *constants, position=position, dtype=np.dtype(dtype).type, **options
            )
        case "McuformerLayerNorm":
            return layer_norm(_rows(inputs[0]), *inputs[1:], **options)
        case "McuformerFullyConnected":
            del options["in_place"]
            x, *constants = inputs
            residual = _rows(constants.pop()) if len(constants) > 4 else None
            return fully_connected(_rows(x), *constants, residual=residual, **options)
        case "McuformerAttention":
            return attention(_rows(inputs[0]), inputs[1], **options)
        case "McuformerGelu":
            return gelu(*inputs)
        case "McuformerMeanPool":
            return mean_pool(_rows(inputs[0]), **options)
    raise AssertionError(operator.code)
