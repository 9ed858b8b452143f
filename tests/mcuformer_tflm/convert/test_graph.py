"""A graph under construction, without a network."""

import numpy as np

from mcuformer_tflm.convert.graph import Graph
from mcuformer_tflm.convert.quantization import Quantization
from mcuformer_tflm.tflite.model_graph import read_graph


def test_constants_share_a_tensor_where_type_shape_and_values_are_equal_and_only_there():
    graph = Graph()
    zeros = np.zeros((2, 6), np.int8)
    kept = [zeros, zeros.reshape(6, 2), zeros.view(np.int16), zeros + np.int8(1)]
    indices = [graph.add_constant(f"constant_{i}", values) for i, values in enumerate(kept)]
    assert len(set(indices)) == len(kept)
    assert graph.add_constant("again", zeros.copy()) == indices[0]
    source = graph.add_activation("x", (1, 2), Quantization(1.0))
    output = graph.add_activation("y", (1, 2), Quantization(1.0))
    graph.add_operator("Foreign", [source.index, *indices], output, {})
    tensors = read_graph(graph.finish([source], [output], "constants")).tensors
    for index, values in zip(indices, kept, strict=True):
        assert (tensors[index].shape, tensors[index].dtype) == (values.shape, str(values.dtype))
        assert tensors[index].data == values.tobytes()
