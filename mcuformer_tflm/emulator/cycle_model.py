"""Cycles an instruction of the inner loop, as LLVM's machine model has it: an estimate.

``llvm-mca`` schedules the loop as compiled, on a model of the core's pipelines. It knows neither
caches nor wait states of flash.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from mcuformer_tflm.emulator.toolchain import find_tool
from mcuformer_tflm.keras_models.exceptions import EmulatorError, ToolchainError

_LOOP = "McuformerDot4x2"
_ITERATIONS = 100


def cycles_per_instruction(image: Path, core: str, function: str = _LOOP) -> float:
    """Returns cycles an instruction of a function's innermost loop.

    Post-indexed loads are given to the model in offset form: it crashes on them, and they take
    as long.

    Args:
        image: ELF file that holds the function.
        core: ``cortex-m4``, ``cortex-m7`` or ``cortex-m33``.
        function: Its symbol.

    Raises:
        EmulatorError: If the function has no loop, or llvm-mca refuses it.
        ToolchainError: If llvm-mca is not installed.
    """
    tool = shutil.which("llvm-mca")
    if tool is None:
        raise ToolchainError(
            "llvm-mca is not installed. Run `apt-get install llvm` (Debian), or `make setup` in "
            "the checkout."
        )
    listing = subprocess.run(
        [find_tool("arm-none-eabi-objdump"), "-d", "--no-show-raw-insn",
         f"--disassemble={function}", str(image)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    architecture = "thumbv8m.main" if core == "cortex-m33" else "thumbv7em"
    triple = f"{architecture}-none-eabihf"
    result = subprocess.run(
        [tool, f"-mtriple={triple}", f"-mcpu={core}", f"-iterations={_ITERATIONS}"],
        input="\n".join(_loop(listing, function)), capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = {
        name: int(value)
        for name, value in re.findall(r"^(Instructions|Total Cycles):\s+(\d+)", result.stdout, re.M)
    }
    if len(found) != 2:
        raise EmulatorError(f"llvm-mca refused the loop of {function}: {result.stderr[-500:]}")
    return found["Total Cycles"] / found["Instructions"]


def _loop(listing: str, function: str) -> list[str]:
    lines = [
        (int(address, 16), text.split("@")[0].strip())
        for address, text in re.findall(r"^\s*([0-9a-f]+):\t(.*)$", listing, re.M)
    ]
    for end, text in lines:
        branch = re.match(r"b(?:lt|ne|cc|hi|gt|lo)(?:\.[nw])?\s+([0-9a-f]+)", text)
        if branch and int(branch.group(1), 16) < end:
            start = int(branch.group(1), 16)
            body = [text for address, text in lines if start <= address < end]
            return [re.sub(r"\], #\d+$", "]", _plain(text)) for text in body]
    raise EmulatorError(f"{function} has no loop.")


def _plain(text: str) -> str:
    mnemonic, _, rest = text.partition("\t")
    return f"{mnemonic.removesuffix('.w').removesuffix('.n')}\t{rest}"
