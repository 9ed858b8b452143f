"""Runs one of our operators alone in TFLM."""

import os
import tempfile

import numpy as np
import pytest
from on_cortex_m import STALE

from mcuformer_tflm.convert.graph import ABSENT, Graph
from mcuformer_tflm.convert.quantization import Quantization
from mcuformer_tflm.plan import plan_memory, write_plan
from mcuformer_tflm.runtime.arena_interpreter import ArenaInterpreter, allocate
from mcuformer_tflm.runtime.tflm import open_interpreter

_ARENA = 1 << 20


def build(custom_code, activations, constants, output_shape, options, output_dtype="int8"):
    """Returns a model of one operator.

    Args:
        custom_code: Of the operator.
        activations: Arrays that are the model's inputs; the first is the operator's first.
        constants: The operator's other inputs in order: arrays, None where one is absent, or
            an int that names an activation.
        output_shape: Of the output.
        options: Of the operator.
        output_dtype: Of the output.
    """
    graph = Graph()
    sources = [
        graph.add_activation(f"input_{i}", x.shape, Quantization(1.0), dtype=str(x.dtype))
        for i, x in enumerate(activations)
    ]
    indices = [sources[0].index]
    for i, constant in enumerate(constants):
        if constant is None:
            indices.append(ABSENT)
        elif isinstance(constant, int):
            indices.append(sources[constant].index)
        else:
            indices.append(graph.add_constant(f"constant_{i}", constant))
    output = graph.add_activation("output", output_shape, Quantization(1.0), dtype=output_dtype)
    graph.add_operator(custom_code, indices, output, options)
    return graph.finish(sources, [output], "one operator")


def run(custom_code, activations, constants, output_shape, options, output_dtype="int8"):
    """Returns the operator's output in TFLM."""
    model = build(custom_code, activations, constants, output_shape, options, output_dtype)
    return run_model(model, activations)


def run_model(model, activations):
    """Returns the output of a model in TFLM."""
    return _invoke(open_interpreter(model, _ARENA), activations)


def run_in_used_arena(model, activations):
    """Returns the output of a model in TFLM with our plan, in an arena that is not clean.

    Asserts that its operator asks for the scratch that the plan has.
    """
    (arena,) = allocate(_ARENA)
    arena[:] = STALE
    plan = plan_memory(model)
    interpreter = ArenaInterpreter(write_plan(model, plan), arena)
    assert interpreter.head == plan.head_bytes
    return _invoke(interpreter, activations)


def _invoke(interpreter, activations):
    for index, x in enumerate(activations):
        interpreter.set_input(np.ascontiguousarray(x), index)
    interpreter.invoke()
    return interpreter.get_output(0)


def rejection(custom_code, activations, constants, output_shape, options, output_dtype="int8"):
    """Returns what the operator's Prepare says on standard error as it refuses the model."""
    model = build(custom_code, activations, constants, output_shape, options, output_dtype)
    with tempfile.TemporaryFile() as said:
        kept = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            with pytest.raises(RuntimeError):
                open_interpreter(model, _ARENA)
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        said.seek(0)
        return said.read().decode()
