import re

import documented
import pytest

from mcuformer_tflm.bench.kernels import CORES, cases
from mcuformer_tflm.emulator.cycle_model import CYCLE_MODELS, estimated_cycles
from mcuformer_tflm.emulator.machine import emulated_machine

# Instructions a multiply-accumulate or an element on an M4: what the README promises.
LIMITS = {
    "fully_connected/225x192x768": 0.92,
    "fully_connected/225x768x192": 0.92,
    "fully_connected/225x192x576": 0.92,
    "fully_connected_in_place/225x192x576": 0.92,
    "fully_connected_int4/225x192x768": 1.3,
    "fully_connected_staged/225x192x768": 0.83,
    "conv_stem/96x96x3x192": 1.04,
    "attention_qk/225x64": 0.95,
    "attention_pv/225x64": 0.9,
    "attention/49x8x8": 1.6,
    "attention/49x8x12": 1.28,
    "attention/49x4x16": 1.32,
    "attention_softmax/225x225": 9,
    "gelu_epilogue/225x768": 2,
    "softmax/225x225": 16,
    "add/225x192": 18,
    "layer_norm/225x192": 11.5,
}
# Of the M7, whose loop for long rows takes more instructions and fewer cycles.
M7_LIMITS = LIMITS | {
    "fully_connected/225x192x768": 1.02,
    "fully_connected/225x768x192": 1.02,
    "fully_connected/225x192x576": 1.02,
    "fully_connected_in_place/225x192x576": 1.02,
    "fully_connected_staged/225x192x768": 1.02,
    "conv_stem/96x96x3x192": 1.17,
    "attention_pv/225x64": 1.02,
}
# Of the M55.
M55_LIMITS = {
    "fully_connected/225x192x768": 0.16,
    "fully_connected/225x768x192": 0.16,
    "fully_connected/225x192x576": 0.16,
    "fully_connected_in_place/225x192x576": 0.16,
    "fully_connected_int4/225x192x768": 0.22,
    "fully_connected_staged/225x192x768": 0.18,
    "conv_stem/96x96x3x192": 0.2,
    "attention_qk/225x64": 0.2,
    "attention_pv/225x64": 0.28,
    "attention/49x8x8": 0.72,
    "attention/49x8x12": 0.46,
    "attention/49x4x16": 0.46,
    "attention_softmax/225x225": 5,
    "gelu_epilogue/225x768": 0.5,
    "softmax/225x225": 5,
    "add/225x192": 4,
    "layer_norm/225x192": 3,
}
# Cycles a multiply-accumulate, llvm-mca's estimate.
CYCLE_LIMITS = {
    "cortex-m4": {
        "fully_connected/225x192x768": 0.97,
        "fully_connected/225x768x192": 0.93,
        "fully_connected/225x192x576": 0.97,
        "fully_connected_int4/225x192x768": 1.07,
        "fully_connected_staged/225x192x768": 0.99,
        "conv_stem/96x96x3x192": 1.12,
    },
    "cortex-m7": {
        "fully_connected/225x192x768": 0.70,
        "fully_connected/225x768x192": 0.67,
        "fully_connected/225x192x576": 0.70,
        "fully_connected_int4/225x192x768": 0.88,
        "fully_connected_staged/225x192x768": 0.65,
        "conv_stem/96x96x3x192": 0.83,
    },
}


# Rows of docs/kernels.md, and the cases whose figures they hold.
DOCUMENTED = {
    "fully connected 192 -> 768": ["fully_connected/225x192x768"],
    "fully connected 768 -> 192": ["fully_connected/225x768x192"],
    "fully connected 192 -> 576": ["fully_connected/225x192x576"],
    "the three in place": [
        f"fully_connected_in_place/225x{shape}" for shape in ("192x768", "768x192", "192x576")
    ],
    "the three with 4-bit weights": [
        f"fully_connected_int4/225x{shape}" for shape in ("192x768", "768x192", "192x576")
    ],
    "192 -> 768, staged for 32 tokens": ["fully_connected_staged/225x192x768"],
    "convolutional stem, 96 x 96 x 3 to 36 x 192": ["conv_stem/96x96x3x192"],
    "attention, queries by keys, head of 64": ["attention_qk/225x64"],
    "attention, probabilities by values": ["attention_pv/225x64"],
    "attention, 49 tokens, 8 heads of 8, position bias": ["attention/49x8x8"],
    "attention, 49 tokens, 8 heads of 12, position bias": ["attention/49x8x12"],
    "attention, 49 tokens, 4 heads of 16, position bias": ["attention/49x4x16"],
    "GELU, beyond the layer that it follows": ["gelu_epilogue/225x768"],
    "softmax of attention, 225 keys": ["attention_softmax/225x225"],
    "Softmax, 225 x 225": ["softmax/225x225"],
    "Add, 225 x 192": ["add/225x192"],
    "LayerNorm, 225 x 192": ["layer_norm/225x192"],
}


@pytest.fixture(scope="module")
def counted():
    """Of a build: instructions of each case, deepest stack, bytes of code, estimated cycles."""
    builds = {}

    def count(core, portable=False):
        if (core, portable) not in builds:
            machine = emulated_machine(core, portable)
            taken, cycles, stack = {}, {}, 0
            for case in cases():
                # In place takes as many as apart; portable code takes seconds a case.
                if not (portable and re.search("in_place|staged", case.name)):
                    taken[case.name] = case.run(machine) / case.count
                    stack = max(stack, machine.stack_bytes)
                    if case.is_one_call and not portable and core in CYCLE_MODELS:
                        estimate = estimated_cycles(machine.executed(), core)
                        cycles[case.name] = estimate / case.count
            builds[core, portable] = (taken, stack, machine.image.code_bytes, cycles)
        return builds[core, portable]

    return count


@pytest.mark.parametrize("core", CORES)
def test_kernels_take_no_more_instructions_than_promised(counted, core):
    taken, *_ = counted(core)
    limits = {"cortex-m7": M7_LIMITS, "cortex-m55": M55_LIMITS}.get(core, LIMITS)
    assert set(limits) <= set(taken)
    assert {name: taken[name] for name, limit in limits.items() if taken[name] > limit} == {}


@pytest.mark.parametrize("core", CYCLE_LIMITS)
def test_products_take_no_more_estimated_cycles_than_promised(counted, core):
    *_, cycles = counted(core)
    limits = CYCLE_LIMITS[core]
    assert {name: cycles[name] for name, limit in limits.items() if cycles[name] > limit} == {}


def test_kernels_document_tells_the_cycles_that_are_estimated(counted):
    told = documented.table("docs/kernels.md", "M4, cycles", "M7, cycles")
    assert len(told) == 6
    for column, core in (("M4, cycles", "cortex-m4"), ("M7, cycles", "cortex-m7")):
        *_, cycles = counted(core)
        assert {name: row[column] for name, row in told.items()} == {
            name: ", ".join(f"{cycles[case]:.2f}" for case in DOCUMENTED[name]) for name in told
        }


@pytest.mark.parametrize(
    ("column", "core", "portable"),
    [
        ("M4", "cortex-m4", False),
        ("M7", "cortex-m7", False),
        ("M55", "cortex-m55", False),
        ("portable C++ on the M7", "cortex-m7", True),
    ],
)
def test_kernels_document_tells_the_instructions_that_are_counted(counted, column, core, portable):
    taken, *_ = counted(core, portable)
    told = documented.table("docs/kernels.md", "portable C++ on the M7")
    if portable:
        assert told.pop("the three in place")[column] == "the same as apart"
        assert told.pop("192 -> 768, staged for 32 tokens")[column] == "nearly as above"
    assert {name: row[column] for name, row in told.items()} == {
        # Up to two digits behind the point, three in all.
        name: ", ".join(f"{taken[case]:.{2 if taken[case] < 10 else 1}f}" for case in names)
        for name, names in DOCUMENTED.items()
        if name in told
    }


def test_every_figure_of_the_kernels_document_is_held():
    assert set(documented.table("docs/kernels.md", "portable C++ on the M7")) == set(DOCUMENTED)


def test_kernels_document_tells_code_and_stack(counted):
    builds = {core: counted(core) for core in CORES}
    portable = counted("cortex-m7", True)
    assert (
        f"All kernels together are {builds['cortex-m4'][2]:,} bytes of code on the M4, "
        f"{builds['cortex-m7'][2]:,} on the M7 and {builds['cortex-m55'][2]:,} on the M55; "
        "a firmware holds those it calls. The deepest stack "
        f"of these calls is {max(stack for _, stack, *_ in builds.values())} bytes, of the "
        f"portable build {portable[1]}."
    ) in documented.text("docs/kernels.md")


def test_readme_tells_the_instructions_that_are_counted(counted):
    taken, *_ = counted("cortex-m4")
    told = documented.table("README.md", "192 -> 768", "192 -> 576")
    for row, kind in (
        ("mcuformer_tflm, also in place", "fully_connected"),
        ("mcuformer_tflm, also in place", "fully_connected_in_place"),
        ("mcuformer_tflm, 4-bit weights", "fully_connected_int4"),
    ):
        assert list(told[row].values())[1:] == [
            f"{taken[f'{kind}/225x{shape}']:.2f}" for shape in ("192x768", "768x192", "192x576")
        ]
    queries, values = taken["attention_qk/225x64"], taken["attention_pv/225x64"]
    norm = taken["layer_norm/225x192"]
    assert (
        f"Attention's products take {queries:.2f} and {values:.2f}, LayerNorm {norm:.1f} an element"
    ) in documented.text("README.md")
    of_m7, *_, cycles = counted("cortex-m7")
    cases_ = [f"fully_connected/225x{shape}" for shape in ("192x768", "768x192", "192x576")]
    instructions = ", ".join(f"{of_m7[case]:.2f}" for case in cases_)
    estimated = ", ".join(f"{cycles[case]:.2f}" for case in cases_)
    assert (
        f"An M7 takes {instructions} instructions and, by llvm-mca's model of its two pipes, "
        f"{estimated} cycles"
    ) in documented.text("README.md")


def test_counting_twice_gives_the_same():
    machine = emulated_machine("cortex-m7")
    case = next(case for case in cases() if case.name == "layer_norm/225x192")
    assert case.run(machine) == case.run(machine)
