"""An emulated program gets two files, text and an end of this machine, and nothing else."""

import subprocess

import numpy as np
import pytest

from mcuformer_tflm.emulator.qemu import run_firmware
from mcuformer_tflm.emulator.tools import COMPILER, find_tool
from mcuformer_tflm.keras_models.exceptions import EmulatorError

# Makes one call (Arm's "Semihosting for AArch32", chapter 5), then ends with status 0 where it
# was refused.
_PROGRAM = """
#include <stdint.h>
static int call(uint32_t operation, const void* argument) {
  register uint32_t r0 __asm__("r0") = operation;
  register const void* r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return (int)r0;
}
#define TEXT(text) (uint32_t)(uintptr_t)(text), sizeof(text) - 1
void reset(void) {
  const uint32_t words[] = {WORDS};
  const uint32_t end[] = {0x20026, call(CALL, words) == -1 ? 0 : 3};
  call(0x20, end);
  for (;;) {}
}
__attribute__((used)) const uintptr_t vectors[] = {0x20001000, (uintptr_t)reset};
"""
_SCRIPT = "SECTIONS { . = 0; .all : { *(.rodata.vectors) *(*) } /DISCARD/ : { *(.ARM*) } }"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Builds a program that makes one call, and runs it."""
    folder = tmp_path_factory.mktemp("semihosting")

    def build_and_run(call, words, timeout=60):
        (folder / "program.c").write_text(_PROGRAM)
        (folder / "all.ld").write_text(_SCRIPT)
        subprocess.run(
            [find_tool(COMPILER), "-x", "c", "-mcpu=cortex-m4", "-mthumb", "-Os", "-nostdlib",
             "-fdata-sections", f"-DCALL={call}", f"-DWORDS={words}", "-T", folder / "all.ld",
             folder / "program.c", "-o", folder / "program.elf"],
            check=True,
        )  # fmt: skip
        pictures = np.arange(8, dtype=np.int8)
        return run_firmware(folder / "program.elf", "cortex-m4", pictures, 1, timeout=timeout)

    return build_and_run


@pytest.mark.parametrize(
    ("call", "words", "told"),
    [
        ("0x12", 'TEXT("touch ran")', "system"),
        ("0x01", '(uint32_t)"/etc/hostname", 0, 13', "open of '/etc/hostname'"),
        ("0x01", '(uint32_t)"../input.bin", 0, 12', "open of '../input.bin'"),
        ("0x01", '(uint32_t)"input.bin", 4, 9', "open of 'input.bin'"),
        ("0x01", '(uint32_t)"output.bin", 8, 10', "open of 'output.bin'"),
        ("0x0E", 'TEXT("input.bin")', "unlink"),
        ("0x0F", 'TEXT("input.bin"), TEXT("other")', "rename"),
    ],
)
def test_a_program_is_refused_what_firmware_has_no_need_of(run, call, words, told):
    with pytest.raises(EmulatorError, match=f"was refused: {told}"):
        run(call, words)


@pytest.mark.parametrize(
    ("call", "words"),
    [("0x01", '(uint32_t)"input.bin", 0, 9'), ("0x01", '(uint32_t)"output.bin", 4, 10')],
)
def test_a_program_may_open_its_own_two_files(run, call, words):
    assert run(call, words).status == 3  # an answer that is none of refusal


def test_a_program_that_never_ends_is_stopped(run):
    with pytest.raises(EmulatorError, match="did not end within"):
        run("0x10", "({for (;;) {} 0;})", timeout=1)
