"""Builds an exported project with CMake and says what the image takes."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from pathlib import Path

from mcuformer_tflm.emulator.extra import emulator_extra
from mcuformer_tflm.emulator.tools import COMPILER, find_tool
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import ConfigError, ToolchainError

_CONSTANTS = (".constants", ".external")
# As model.cc and model_tflm.cc name its part in each region of SRAM.
_ARENA = re.compile(r"_ZN12_GLOBAL__N_1\d+arena(_\d+)?E")
# What CMake or the Makefiles that it writes take for lists, escapes, variables, targets.
_UNBUILDABLE = re.compile(r'[;"\\:|?]|\$\w*[{<]')
_CODE = (".vectors", ".text", ".rodata", ".ARM.exidx", ".init_array")


@dataclasses.dataclass(frozen=True)
class FirmwareImage:
    """A linked image.

    Attributes:
        elf: The ELF file.
        code_bytes: Code with its own tables, initial values of variables included.
        constant_bytes: The model's constants.
        arena_bytes: The arena, in all its regions.
        variable_bytes: Other variables, initialised or zero.
    """

    elf: Path
    code_bytes: int
    constant_bytes: int
    arena_bytes: int
    variable_bytes: int


def build_project(project: AnyPath, build: AnyPath, **options: AnyPath | bool) -> FirmwareImage:
    """Configures and builds a project.

    Args:
        project: Folder with the ``CMakeLists.txt``.
        build: Folder of the build.
        options: CMake's cache entries, such as ``MCUFORMER_EMULATED=True``.

    Raises:
        ConfigError: If CMake builds nothing in folders of their names.
        ToolchainError: If the cross compiler or CMake is missing, or the build fails: a model
            that does not fit is named by the linker with the bytes that it is over.
    """
    project = checked_path("project", project)
    build = checked_path("build", build)
    for folder in (project, build):
        check_buildable(folder)
    find_tool(COMPILER)
    cmake = find_tool("cmake")
    toolchain = project.resolve() / "arm-none-eabi.cmake"
    chosen: dict[str, AnyPath | bool] = {"CMAKE_TOOLCHAIN_FILE": toolchain, **options}
    entries = [f"-D{name}={_cmake_value(value)}" for name, value in chosen.items()]
    _run(cmake, "-S", str(project), "-B", str(build), *entries)
    _run(cmake, "--build", str(build), "--parallel", str(os.cpu_count() or 1))
    return read_image(build / "firmware.elf")


def check_buildable(project: AnyPath) -> None:
    """Checks that CMake and Make build in a folder of such a name.

    Raises:
        ConfigError: If they do not.
    """
    path = str(checked_path("project", project).absolute())
    bad = set(_UNBUILDABLE.findall(path)) | {part for part in path if not part.isprintable()}
    if bad:
        raise ConfigError(
            f"{path!r} has {' and '.join(map(repr, sorted(bad)))} in it, which CMake or Make reads "
            "as more than a name; give a folder of another name."
        )


def read_image(elf: AnyPath) -> FirmwareImage:
    """Reads the sizes of a linked image.

    Raises:
        ToolchainError: If the extra ``emulator`` is not installed.
    """
    elf = checked_path("elf", elf)
    with emulator_extra():
        from elftools.elf.elffile import ELFFile

    with elf.open("rb") as file:
        file_sections = list(ELFFile(file).iter_sections())
        sections = {section.name: section["sh_size"] for section in file_sections}
        arenas = [
            (file_sections[symbol["st_shndx"]].name, symbol["st_size"])
            for symbol in ELFFile(file).get_section_by_name(".symtab").iter_symbols()
            if _ARENA.fullmatch(symbol.name)
        ]
    return FirmwareImage(
        elf,
        sum(sections.get(name, 0) for name in (*_CODE, ".data")),
        sum(sections.get(name, 0) for name in _CONSTANTS),
        sum(size for _, size in arenas),
        sections.get(".data", 0)
        + sections.get(".bss", 0)
        - sum(size for name, size in arenas if name == ".bss"),
    )


def _cmake_value(value: AnyPath | bool) -> str:
    return ("ON" if value else "OFF") if isinstance(value, bool) else os.fspath(value)


def _run(*command: str) -> str:
    result = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if result.returncode != 0:
        text = (result.stdout + result.stderr).strip()
        raise ToolchainError(f"{' '.join(command[:2])} failed:\n{text[-3000:]}")
    return result.stdout
