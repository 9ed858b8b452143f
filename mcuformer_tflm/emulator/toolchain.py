"""The kernels compiled for a Cortex-M with Debian's cross compiler."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import mcuformer_tflm.custom_ops as custom_ops
from mcuformer_tflm.emulator.extra import emulator_extra
from mcuformer_tflm.emulator.tools import COMPILER, find_tool
from mcuformer_tflm.keras_models.checked_values import checked_choice
from mcuformer_tflm.keras_models.exceptions import ToolchainError

# MCUFORMER_CORTEX_M7: what no macro of the compiler tells; MCUFORMER_HELIUM: what the build wants,
# or else fails (kernels/cortex_m/target.h).
CORE_FLAGS = {
    "cortex-m0plus": ("-mcpu=cortex-m0plus",),
    "cortex-m33": ("-mcpu=cortex-m33", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"),
    "cortex-m4": ("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
    "cortex-m7": (
        "-mcpu=cortex-m7", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard", "-DMCUFORMER_CORTEX_M7",
    ),
    "cortex-m55": ("-mcpu=cortex-m55", "-mfloat-abi=hard", "-DMCUFORMER_HELIUM"),
}  # fmt: skip
# Where kernels and variables are linked for cores that are emulated.
LOAD_ADDRESSES = {
    "cortex-m33": (0x00000000, 0x20000000),
    "cortex-m4": (0x00000000, 0x20000000),
    "cortex-m7": (0x00000000, 0x20000000),
    # Where mps3-an547 has secure memory (qemu_core.py).
    "cortex-m55": (0x70000000, 0x72000000),
}
COMPILE_FLAGS = (
    "-std=c++17", "-mthumb", "-O3", "-Wall", "-Wextra", "-Werror", "-fno-exceptions", "-fno-rtti",
    "-fno-threadsafe-statics", "-ffunction-sections", "-fdata-sections",
)  # fmt: skip
# What an application with TFLM's interpreter reaches.
_APPLICATION = """
#include "tflm/arena_planner.h"
#include "tflm/register.h"
extern "C" void application(TFLMRegistration* registrations, uint8_t* model, uint8_t* arena) {
  mcuformer::AllRegistrations(registrations);
  static mcuformer::ArenaPlanner planner(model, 0, arena, 0);
}
"""


@dataclass(frozen=True)
class KernelImage:
    """The kernels linked at fixed addresses.

    Attributes:
        segments: (address, bytes) of each part to load.
        functions: Address of each function by its C++ name without arguments, such as
            ``mcuformer::LayerNorm<signed char>``.
        code_bytes: Size of the code with its constants.
    """

    segments: tuple[tuple[int, bytes], ...]
    functions: dict[str, int]
    code_bytes: int


def kernel_sources() -> list[Path]:
    """Returns the kernels' source files, the cores' tuned inner loops among them."""
    folder = kernel_folder()
    return sorted([*folder.rglob("*.cc"), *folder.rglob("*.S")])


def kernel_folder() -> Path:
    """Returns the folder of the kernels' sources."""
    return _source_folder() / "kernels"


def core_flags(core: str) -> tuple[str, ...]:
    """Returns the compiler's flags for a core.

    Raises:
        ConfigError: If the core is unknown.
    """
    checked_choice("core", core, tuple(CORE_FLAGS))
    return CORE_FLAGS[core]


def build_kernels(core: str, portable: bool = False, also: tuple[Path, ...] = ()) -> KernelImage:
    """Compiles and links all kernels for a core.

    Args:
        core: One of ``CORE_FLAGS``.
        portable: Leave the code that is tuned for the core out.
        also: Further source files to link in.

    Raises:
        ToolchainError: If the compiler or the extra ``emulator`` is missing, or the compiler fails.
        ConfigError: If the core is unknown.
    """
    with emulator_extra():
        from elftools.elf.elffile import ELFFile

    flags = core_flags(core)
    flash, ram = LOAD_ADDRESSES.get(core, LOAD_ADDRESSES["cortex-m4"])
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "kernels.elf"
        _run(
            find_tool(COMPILER), *flags, *COMPILE_FLAGS, f"-I{_source_folder()}", "-nostartfiles",
            "--specs=nano.specs", f"-Wl,-Ttext={flash + 0x1000:#x},-Tdata={ram:#x}",
            f"-Wl,-e,{flash + 0x1001:#x}",
            *(["-DMCUFORMER_PORTABLE"] if portable else []),
            *map(str, [*kernel_sources(), *also]), "-o", str(output),
        )  # fmt: skip
        names = _run(find_tool("arm-none-eabi-nm"), "-C", "--defined-only", str(output))
        with output.open("rb") as file:
            segments = tuple(
                (segment["p_vaddr"], segment.data())
                for segment in ELFFile(file).iter_segments("PT_LOAD")
                if segment["p_filesz"]
            )
    functions = {}
    for line in names.splitlines():
        address, kind, name = line.split(" ", 2)
        if kind in "tTW":
            functions[name.removeprefix("void ").split("(")[0]] = int(address, 16)
    return KernelImage(segments, functions, sum(len(data) for _, data in segments))


def operator_code_bytes(core: str) -> int:
    """Returns the flash that all operators take in an application with TFLM, measured.

    Kernels, adapters and our memory planner, compiled and linked partially, so that only what
    ``AllRegistrations`` and the planner reach counts: code, its tables and texts. TFLM itself and
    the C library are the application's and not among them.

    Args:
        core: One of ``CORE_FLAGS``.

    Raises:
        ToolchainError: If the compiler or the extra ``emulator`` is missing, or the compiler fails.
        ConfigError: If the core is unknown.
    """
    with emulator_extra():
        from elftools.elf.constants import SH_FLAGS
        from elftools.elf.elffile import ELFFile

    flags = core_flags(core)
    adapters = sorted((_source_folder() / "tflm").glob("*.cc"))
    adapters = [path for path in adapters if not path.name.startswith("wheel")]
    with tempfile.TemporaryDirectory() as folder:
        application, output = Path(folder) / "application.cc", Path(folder) / "operators.o"
        application.write_text(_APPLICATION, encoding="utf-8")
        _run(
            find_tool(COMPILER), *flags, *COMPILE_FLAGS, f"-I{_source_folder()}", "-nostartfiles",
            "-r", "-Wl,--gc-sections,-u,application",
            *map(str, [application, *kernel_sources(), *adapters]), "-o", str(output),
        )  # fmt: skip
        with output.open("rb") as file:
            return sum(
                section["sh_size"]
                for section in ELFFile(file).iter_sections()
                if section["sh_flags"] & SH_FLAGS.SHF_ALLOC and section["sh_type"] != "SHT_NOBITS"
            )


def _source_folder() -> Path:
    return Path(str(custom_ops.__file__)).resolve().parent


def _run(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if result.returncode != 0:
        raise ToolchainError(f"{command[0]} failed:\n{result.stderr.strip()[-3000:]}")
    return result.stdout
