"""Holds a kernel on the emulated cores against its twin.

out = Buffer(np.zeros(x.shape, np.int8))
assert_equals_twin(twin(x), "mcuformer::Gelu", x.size, x, table, out)
"""

import copy

import numpy as np
import pytest

from mcuformer_tflm.emulator.machine import Buffer, Struct, emulated_machine

# Each core, and the code that other cores run.
BUILDS = {
    "cortex-m4": ("cortex-m4", False),
    "cortex-m7": ("cortex-m7", False),
    "cortex-m55": ("cortex-m55", False),
    "portable": ("cortex-m4", True),
}
# What scratch holds before a call, so that no kernel counts on zeros.
STALE = 0xA5
builds = pytest.mark.parametrize("build", list(BUILDS))


def scratch(size):
    """Returns a kernel's scratch: ``size`` bytes that somebody else has left."""
    return Buffer(np.full(size, STALE, np.uint8))


def run(build, function, *arguments):
    """Runs a kernel on one build; returns what its last Buffer holds afterwards.

    Args:
        build: One of ``BUILDS``.
        function: The kernel's C++ name, such as ``mcuformer::LayerNorm<signed char>``.
        arguments: As ``Machine.call`` takes them. Buffers stay as they are: the kernel works on
            copies, where the same Buffer given twice is one copy.
    """
    core, portable = BUILDS[build]
    copies = copy.deepcopy(arguments)
    emulated_machine(core, portable).call(function, *copies)
    return _buffers(copies)[-1].data


def assert_equals_twin(wanted, function, *arguments):
    """Asserts that a kernel leaves ``wanted`` in its last Buffer, on every build."""
    for build in BUILDS:
        found = run(build, function, *arguments)
        np.testing.assert_array_equal(found.reshape(np.shape(wanted)), wanted, err_msg=build)


def assert_vectors_equal_twin(wanted, function, *arguments, size):
    """Asserts that a kernel's vectors leave ``wanted`` in its last Buffer and nothing beside it.

    For some sizes, since it is slow, also that they read nothing beside their arguments.
    """
    copies = copy.deepcopy(arguments)
    machine = emulated_machine("cortex-m55")
    if size % 15 == 1:
        assert machine.reads_beside(function, *copies) == []
    else:
        machine.call(function, *copies)
    found = _buffers(copies)[-1].data
    np.testing.assert_array_equal(found.reshape(np.shape(wanted)), wanted, err_msg=str(size))


def _buffers(arguments):
    found = []
    for argument in arguments:
        if isinstance(argument, Struct):
            found += _buffers(argument.fields)
        elif isinstance(argument, Buffer):
            found.append(argument)
    return found
