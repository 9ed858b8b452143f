import subprocess
import sys
import time

import pytest

from mcuformer_tflm.emulator.core import CallError, Memory, stretches
from mcuformer_tflm.emulator.qemu_core import QemuCore
from mcuformer_tflm.emulator.unicorn_core import UnicornCore

FLASH, RAM, SIZE = 0x70000000, 0x72000000, 0x10000
MEMORIES = (Memory(FLASH, SIZE, writable=False), Memory(RAM, SIZE))
CODE, STACK = FLASH + 0x1000, RAM + SIZE
# movs r2, #5; 1: subs r2, #1; bne 1b; ldr r0, [r1]; str r0, [r1, #4]; bx lr
LOOP = bytes.fromhex("0522 013a fdd1 0868 4860 7047")


def core_with(kind, code=LOOP, **options):
    if kind is UnicornCore:
        core = UnicornCore("cortex-m33", MEMORIES, FLASH + 0x200, **options)
    else:
        core = QemuCore("cortex-m55", MEMORIES, **options)
    core.write(CODE, code)
    return core


def called(core, *registers, **options):
    return core.call(CODE, (*registers, *[0] * (12 - len(registers))), STACK, **options)


def bytes_run(ran, part):
    return sum(size * times for (_, size), times in ran.blocks[part].items())


@pytest.mark.parametrize("kind", [UnicornCore, QemuCore])
def test_blocks_count_as_often_as_they_run_whatever_emulates_them(kind):
    core = core_with(kind, starts=(CODE + 6,))
    for value in (1, 2):
        core.write(RAM, bytes([value, 0, 0, 0, 9, 9, 9, 9]))
        ran = called(core, 7, RAM)
        assert core.read(RAM, 8) == bytes([value, 0, 0, 0] * 2)
        assert (ran.registers[:3], ran.stack) == ((value, RAM, 0), STACK)
        # The loop runs five times; the second part begins behind it.
        assert [bytes_run(ran, part) for part in (0, 1)] == [2 + 5 * 4, 6]


@pytest.mark.parametrize("kind", [UnicornCore, QemuCore])
def test_reads_of_watched_memory_are_told_by_part_and_address(kind):
    core = core_with(kind, starts=(CODE + 6,))
    ran = called(core, 7, RAM + 8, watch=range(RAM, RAM + 64))
    assert (ran.loaded[:2], ran.touched) == ((0, 4), ((RAM + 8, 4),))
    assert called(core, 7, RAM + 8, watch=range(RAM, RAM + 8)).touched == ()
    assert called(core, 7, RAM + 8).touched == ()


@pytest.mark.parametrize("kind", [UnicornCore, QemuCore])
@pytest.mark.parametrize("address", [FLASH, FLASH + SIZE, RAM + SIZE, RAM - 8, 0, 0x20000000])
def test_a_stray_write_ends_a_call_and_leaves_the_next_one_whole(kind, address):
    core = core_with(kind)
    with pytest.raises(CallError, match=f"at 0x{CODE + 8:x}|at 0x{CODE + 6:x}"):
        called(core, 7, address)
    assert called(core, 7, RAM).stack == STACK


@pytest.mark.parametrize("kind", [UnicornCore, QemuCore])
def test_a_callback_gets_the_callers_arguments_and_returns_one(kind):
    # push {r4, lr}; blx r4; pop {r4, pc}
    core = core_with(kind, bytes.fromhex("10b5 a047 10bd"))
    asked = []
    core.write(RAM + 16, core.callback(RAM + 16, lambda *given: asked.append(given)))
    for _ in range(2):
        ran = core.call(CODE, (5, 6, 7, 8, RAM + 17, *[0] * 7), STACK)
    assert asked == [(6, 7, 8)] * 2
    assert (ran.registers[0], ran.registers[4], ran.stack) == (1, RAM + 17, STACK)


def test_qemu_ends_with_the_process_that_calls(tmp_path):
    program = tmp_path / "caller.py"
    program.write_text(
        "import os, signal\n"
        "from mcuformer_tflm.emulator.core import Memory\n"
        "from mcuformer_tflm.emulator.qemu_core import QemuCore\n"
        f"core = QemuCore('cortex-m55', [Memory({FLASH}, {SIZE}, False), Memory({RAM}, {SIZE})])\n"
        f"core.write({CODE}, bytes.fromhex('7047'))\n"
        f"core.call({CODE}, [0] * 12, {STACK})\n"
        "print(core._process._process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    result = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    command_line = f"/proc/{int(result.stdout)}/cmdline"
    for _ in range(100):
        try:
            with open(command_line) as file:
                if "qemu" not in file.read():  # a zombie has none
                    return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.1)
    pytest.fail("QEMU still runs")


def test_stretches_join_addresses_side_by_side():
    assert stretches([1, 2, 3, 7, 9, 10]) == ((1, 3), (7, 1), (9, 2))
