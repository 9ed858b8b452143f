import pytest

from mcuformer_tflm.bench.kernels import CORES, cases
from mcuformer_tflm.emulator.machine import emulated_machine

# Instructions a multiply-accumulate or an element: what the README promises.
LIMITS = {
    "fully_connected/225x192x768": 0.92,
    "fully_connected/225x768x192": 0.92,
    "fully_connected/225x192x576": 0.92,
    "fully_connected_in_place/225x192x576": 0.92,
    "fully_connected_int4/225x192x768": 1.3,
    "attention_qk/225x64": 1.1,
    "attention_pv/225x64": 1.1,
    "attention_softmax/225x225": 16,
    "gelu_epilogue/225x768": 2,
    "softmax/225x225": 30,
    "layer_norm/225x192": 12,
}


@pytest.mark.parametrize("core", CORES)
def test_kernels_take_no_more_instructions_than_promised(core):
    machine = emulated_machine(core)
    taken = {case.name: case.run(machine) / case.count for case in cases() if case.name in LIMITS}
    assert set(taken) == set(LIMITS)
    assert {name: value for name, value in taken.items() if value > LIMITS[name]} == {}


def test_counting_twice_gives_the_same():
    machine = emulated_machine("cortex-m7")
    case = next(case for case in cases() if case.name == "layer_norm/225x192")
    assert case.run(machine) == case.run(machine)
