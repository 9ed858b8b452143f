import subprocess

import pytest

from mcuformer_tflm.emulator.cycle_model import estimated_cycles
from mcuformer_tflm.emulator.toolchain import CORE_FLAGS, find_tool
from mcuformer_tflm.keras_models.exceptions import EmulatorError, ToolchainError


def code(source, tmp_path):
    """Assembles Thumb-2 code."""
    binary, linked = tmp_path / "code.bin", tmp_path / "code.o"
    subprocess.run(
        [find_tool("arm-none-eabi-gcc"), *CORE_FLAGS["cortex-m7"], "-mthumb", "-c",
         "-x", "assembler", "-", "-o", linked],
        input=f".syntax unified\n.thumb\n{source}\n", text=True, check=True,
    )  # fmt: skip
    subprocess.run([find_tool("arm-none-eabi-objcopy"), "-O", "binary", linked, binary], check=True)
    return binary.read_bytes()


@pytest.mark.parametrize(
    ("source", "on_m4", "on_m7"),
    [
        # One multiplier in each core.
        ("smlad r4, r0, r1, r4; smlad r5, r0, r1, r5", 2, 2),
        # Beside it an M7 loads or adds; LDRD takes both of its pipes.
        ("ldr r2, [r0, #4]; smlad r4, r6, r7, r4", 2, 1),
        ("ldr r2, [r0], #4; smlad r4, r6, r7, r4", 2, 1),
        ("add r2, r3, #1; smlad r4, r6, r7, r4", 2, 1),
        ("ldrd r2, r3, [r0, #8]; smlad r4, r6, r7, r4; smlad r5, r6, r7, r5", 3, 3),
    ],
    ids=str,
)
def test_models_are_those_of_one_and_of_two_pipes(source, on_m4, on_m7, tmp_path):
    block = code(source, tmp_path)
    assert estimated_cycles({block: 1}, "cortex-m4") == pytest.approx(on_m4, rel=0.35)
    assert estimated_cycles({block: 1}, "cortex-m7") == pytest.approx(on_m7, rel=0.03)


def test_a_block_counts_as_often_as_it_ran(tmp_path):
    first = code("smlad r4, r0, r1, r4; smlad r5, r0, r1, r5", tmp_path)
    second = code("adds r0, #1", tmp_path)
    alone = [estimated_cycles({block: 1}, "cortex-m7") for block in (first, second)]
    both = estimated_cycles({first: 3, second: 5}, "cortex-m7")
    assert both == pytest.approx(3 * alone[0] + 5 * alone[1])


def test_registers_of_one_instruction_come_two_a_cycle_at_best(tmp_path):
    block = code("ldm r0, {r1, r2, r3, r4, r5, r6, r7, r8}", tmp_path)
    assert estimated_cycles({block: 1}, "cortex-m7") == pytest.approx(4, rel=0.03)


@pytest.mark.parametrize(
    "source",
    [
        "push {r3-r12, lr}; sub sp, #8",
        "vmov s0, r3; vpush {s16, s17}; vpop {s16, s17}; pop {r4, pc}",
        "itte lt; addlt r0, #1; ldrlt r2, [r1, #4]!; movge r0, #0; bx lr",
        "bl far; cbz r0, near; nop; near: bne.w far; far: blx r3",
        "ldr.w lr, [r0, #-20]; str r0, [r1, #4]!; ldrd r2, r3, [r1], #8; ldr pc, [sp, #8]",
        # A block may end behind an IT, whose conditional instructions are the next block's.
        "cmp r0, r1; itt lt; .inst.n 0xBF00; .inst.n 0xBF00",
    ],
    ids=str,
)
@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m7", "cortex-m33"])
def test_code_of_compilers_is_taken(source, core, tmp_path):
    block = code(source, tmp_path)
    assert estimated_cycles({block: 2, code("nop", tmp_path): 1}, core) > 0


def test_a_block_that_ends_in_the_middle_of_a_condition_leaves_the_others_apart(tmp_path):
    cut = code("cmp r0, r1; itt lt; nop; nop", tmp_path)[:4]
    other = code("adds r0, #1; adds r1, #1", tmp_path)
    both = estimated_cycles({cut: 1, other: 1}, "cortex-m7")
    assert both == pytest.approx(
        sum(estimated_cycles({block: 1}, "cortex-m7") for block in (cut, other))
    )


def test_code_that_is_none_is_refused():
    with pytest.raises(EmulatorError, match="llvm-mca refused code of cortex-m7"):
        estimated_cycles({b"\xff\xff\xff\xff": 1}, "cortex-m7")


def test_a_missing_tool_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolchainError, match="apt-get install llvm"):
        estimated_cycles({b"\x00\xbf": 1}, "cortex-m4")
