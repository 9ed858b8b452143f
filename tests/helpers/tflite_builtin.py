"""Runs one of TFLite's own operators with its reference kernel, as the referee."""

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

from mcuformer_tflm.tflite.file import pack

_TYPES = {
    "int8": schema.TensorType.INT8,
    "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
}


def run(builtin_code, options_type, options, inputs, output):
    """Returns the operator's output.

    Args:
        builtin_code: Of ``schema.BuiltinOperator``.
        options_type: Of ``schema.BuiltinOptions``.
        options: The schema's options object.
        inputs: (array, scale, zero_point) of each input.
        output: (shape, dtype, scale, zero_point).
    """
    descriptions = [(x.shape, str(x.dtype), *rest) for x, *rest in inputs] + [output]
    graph = schema.SubGraphT()
    graph.tensors = [_tensor(i, *description) for i, description in enumerate(descriptions)]
    operator = schema.OperatorT()
    operator.opcodeIndex = 0
    operator.inputs, operator.outputs = list(range(len(inputs))), [len(inputs)]
    operator.builtinOptionsType, operator.builtinOptions = options_type, options
    graph.operators = [operator]
    graph.inputs, graph.outputs = operator.inputs, operator.outputs
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin_code
    code.version = 2
    model = schema.ModelT()
    model.version, model.subgraphs = 3, [graph]
    model.buffers, model.operatorCodes = [schema.BufferT()], [code]
    interpreter = tf.lite.Interpreter(
        model_content=pack(model),
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF,
    )
    interpreter.allocate_tensors()
    for detail, (x, *_) in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], np.ascontiguousarray(x))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def _tensor(index, shape, dtype, scale, zero_point):
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type = f"tensor_{index}", list(shape), _TYPES[dtype]
    tensor.buffer = 0
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero_point]
    return tensor
