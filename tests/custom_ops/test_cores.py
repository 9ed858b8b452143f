import functools
import re
import shutil
import subprocess

import pytest
from elftools.elf.constants import P_FLAGS
from elftools.elf.elffile import ELFFile

from mcuformer_tflm.emulator.toolchain import (
    COMPILER,
    CORE_FLAGS,
    build_kernels,
    find_tool,
    kernel_folder,
    kernel_sources,
)
from mcuformer_tflm.runtime import library


@functools.cache
def compiled(core):
    return build_kernels(core)


@pytest.mark.parametrize("core", CORE_FLAGS)
def test_kernels_compile_without_a_warning_for(core):
    functions = compiled(core).functions
    # With the DSP extension and an FPU the inner loops are assembly; elsewhere they are C++.
    assert {"McuformerDot4x2", "McuformerDot4x2Int4", "mcuformer::WidenTokens"} <= set(functions)


@pytest.mark.parametrize(
    ("flags", "own"),
    [
        (CORE_FLAGS["cortex-m4"], False),
        (CORE_FLAGS["cortex-m7"], True),
        (CORE_FLAGS["cortex-m33"], False),
        # What GCC tells of an M7 without the definition: its double precision alone.
        (("-mcpu=cortex-m7", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"), False),
        (("-mcpu=cortex-m7", "-mfpu=fpv5-d16", "-mfloat-abi=hard"), True),
        (("-mcpu=cortex-m33", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard", "-D__ARM_FPV5__"), False),
        ((*CORE_FLAGS["cortex-m7"], "-DMCUFORMER_PORTABLE"), False),
    ],
    ids=str,
)
def test_an_m7_takes_its_own_loop_where_macros_tell_it(flags, own, tmp_path):
    path = tmp_path / "multiply.o"
    command = [find_tool(COMPILER), *flags, "-mthumb", f"-I{kernel_folder().parent}"]
    source = kernel_folder() / "cortex_m/multiply.S"
    subprocess.run([*command, "-c", source, "-o", path], check=True)
    names = subprocess.run(
        [find_tool("arm-none-eabi-nm"), path], capture_output=True, text=True, check=True
    ).stdout
    assert ("McuformerLongInt8" in names) == own


# A core with Helium, and the same core built without it, or without a floating-point unit too.
_M55 = {
    "-mcpu=cortex-m55 -mfloat-abi=hard": True,
    "-mcpu=cortex-m55+nomve.fp -mfloat-abi=hard": True,
    "-mcpu=cortex-m55+nomve -mfloat-abi=hard": False,
    "-mcpu=cortex-m55+nomve+nofp -mfloat-abi=soft": False,
    "-mcpu=cortex-m33 -mfpu=fpv5-sp-d16 -mfloat-abi=hard": False,
    "-mcpu=cortex-m0plus": False,
}


def _macros(*flags):
    command = [find_tool(COMPILER), *flags, "-mthumb", f"-I{kernel_folder().parent}", "-dM", "-E"]
    header = kernel_folder() / "cortex_m/target.h"
    result = subprocess.run([*command, header], capture_output=True, text=True, check=False)
    return (
        result.returncode,
        {line.split()[1] for line in result.stdout.splitlines()},
        result.stderr,
    )


@pytest.mark.parametrize("flags", _M55)
def test_helium_is_taken_where_the_core_has_it_and_refused_in_a_sentence_where_not(flags):
    status, macros, _ = _macros(*flags.split())
    assert status == 0
    assert ("MCUFORMER_CORTEX_M_MVE" in macros) == _M55[flags]
    assert ("MCUFORMER_CORTEX_M_DSP" in macros) == ("m0plus" not in flags)
    status, _, message = _macros(*flags.split(), "-DMCUFORMER_HELIUM")
    assert (status == 0) == _M55[flags]
    assert _M55[flags] or "the compiler's target has no Helium (MVE): give it a core" in message
    status, macros, _ = _macros(*flags.split(), "-DMCUFORMER_HELIUM", "-DMCUFORMER_PORTABLE")
    assert (status, "MCUFORMER_CORTEX_M_MVE" in macros) == (0, False)


@pytest.mark.parametrize("flags", [flags for flags in _M55 if "+nomve" in flags])
@pytest.mark.parametrize("source", ["dot.cc", "cortex_m/dot.S", "cortex_m/multiply.S"])
def test_the_dsp_code_takes_an_m55_without_helium(flags, source, tmp_path):
    command = [find_tool(COMPILER), *flags.split(), "-mthumb", "-Wall", "-Wextra", "-Werror"]
    include, output = f"-I{kernel_folder().parent}", tmp_path / "kernel.o"
    subprocess.run([*command, include, "-c", kernel_folder() / source, "-o", output], check=True)


def test_no_source_narrows_with_a_shift_that_gnus_assembler_takes_for_another():
    # Version 2.40 makes of VQSHRN and VQSHRUN their rounding forms.
    for source in kernel_folder().rglob("*.[chS]*"):
        assert not re.search(r"\bvqshru?n[bt](\.|q_n_)", source.read_text()), source


def test_kernels_use_no_heap_and_no_floating_point():
    names = compiled("cortex-m0plus").functions
    forbidden = {"malloc", "free", "_sbrk", "__cxa_throw"}
    floating = ("__aeabi_d", "__aeabi_f", "__adddf3", "__muldf3", "__divdf3", "__addsf3")
    assert not [name for name in names if name in forbidden or name.startswith(floating)]


@pytest.mark.parametrize(
    "source", [s for s in kernel_sources() if s.suffix == ".S"], ids=lambda source: source.name
)
@pytest.mark.parametrize("core", CORE_FLAGS)
def test_assembly_says_on_every_core_that_it_wants_no_executable_stack(source, core, tmp_path):
    path = tmp_path / "assembled.o"
    command = [find_tool(COMPILER), *CORE_FLAGS[core], "-mthumb", f"-I{kernel_folder().parent}"]
    subprocess.run([*command, "-c", source, "-o", path], check=True)
    with path.open("rb") as file:
        assert ELFFile(file).get_section_by_name(".note.GNU-stack")["sh_flags"] == 0


def test_library_of_all_sources_leaves_the_hosts_stack_without_execution(tmp_path):
    linked = tmp_path / "kernels.so"
    compiler = shutil.which("c++") or pytest.skip("no compiler of the host")
    command = [compiler, "-std=c++17", "-O0", "-fPIC", "-shared", f"-I{kernel_folder().parent}"]
    subprocess.run([*command, *kernel_sources(), "-o", linked], check=True)
    for path in (linked, library.find_library()):
        with path.open("rb") as file:
            (stack,) = ELFFile(file).iter_segments("PT_GNU_STACK")
            assert stack["p_flags"] == P_FLAGS.PF_R | P_FLAGS.PF_W, path
