"""Cycles of code that ran, as LLVM's machine models have them: an estimate.

``llvm-mca`` schedules each block of straight code on a model of the core's pipelines, over and
over, and what one round takes counts as often as the block ran. The model knows neither caches nor
wait states of flash, and it predicts every branch.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mcuformer_tflm.emulator.tools import find_tool
from mcuformer_tflm.keras_models.exceptions import EmulatorError

# Cores of whose pipelines LLVM 14 has a model. Of Helium's instructions it has none.
CYCLE_MODELS = ("cortex-m33", "cortex-m4", "cortex-m7")
# Rounds of a block: enough for a figure that more would change by less than a hundredth.
_ITERATIONS = 100
_BRANCH = re.compile(r"(b(eq|ne|cs|cc|hs|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le|al|l)?|cbn?z)\s")
_MULTIPLE = re.compile(r"(v?)(ldm|stm|push|pop)")
# Between blocks: udf #251, which no compiler writes, as often as an IT behind which a block ends
# may make the next instructions conditional.
_BETWEEN = b"\xfb\xde" * 4


def estimated_cycles(executed: Mapping[bytes, int], core: str) -> float:
    """Returns the cycles of blocks of code, each taken as often as it ran.

    Args:
        executed: How often each block ran, by its Thumb-2 code.
        core: One of ``CYCLE_MODELS``.

    Raises:
        EmulatorError: If there is no model of the core, or llvm-mca refuses the code.
        ToolchainError: If llvm-mca or the cross compiler is not installed.
    """
    (cycles,) = estimated_cycles_by_part([executed], core)
    return cycles


def estimated_cycles_by_part(parts: Sequence[Mapping[bytes, int]], core: str) -> list[float]:
    """Returns what ``estimated_cycles`` does for each part of a program, in one run of llvm-mca.

    Some instructions are given to the model in a form that it takes: loads and stores that move
    their base without this, conditional ones without their condition, calls as jumps, and
    loads and stores of several registers one by one, two a cycle at best.

    Args:
        parts: How often each block ran in it, by its Thumb-2 code.
        core: One of ``CYCLE_MODELS``.

    Raises:
        EmulatorError: If there is no model of the core, or llvm-mca refuses the code.
        ToolchainError: If llvm-mca or the cross compiler is not installed.
    """
    if core not in CYCLE_MODELS:
        raise EmulatorError(
            f"Cycles of a {core} cannot be estimated: llvm-mca has no model of its vector "
            "instructions. Instructions are counted; cycles are told by a board (`mcuformer "
            "profile`), whose cycles_per_instruction a calibrated file gives."
        )
    blocks = list(dict.fromkeys(block for part in parts for block in part))
    tool = find_tool("llvm-mca")
    regions = (
        f"@ LLVM-MCA-BEGIN {i}\n" + "\n".join(_plain(block)) + f"\n@ LLVM-MCA-END {i}\n"
        for i, block in enumerate(_disassembled(blocks))
    )
    architecture = "thumbv8m.main" if core == "cortex-m33" else "thumbv7em"
    result = subprocess.run(
        [tool, f"-mtriple={architecture}-none-eabihf", f"-mcpu={core}",
         f"-iterations={_ITERATIONS}", "-resource-pressure=0", "-instruction-info=0"],
        input="".join(regions), capture_output=True, text=True, check=False,
    )  # fmt: skip
    cycles = re.findall(r"^Total Cycles:\s+(\d+)", result.stdout, re.M)
    if len(cycles) != len(blocks) or result.stderr:
        raise EmulatorError(f"llvm-mca refused code of {core}: {result.stderr[-500:]}")
    once = {block: int(total) / _ITERATIONS for block, total in zip(blocks, cycles, strict=True)}
    return [sum(once[block] * count for block, count in part.items()) for part in parts]


def _disassembled(blocks: list[bytes]) -> Iterator[list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / "code"
        code.write_bytes(b"".join(block + _BETWEEN for block in blocks))
        listing = subprocess.run(
            [find_tool("arm-none-eabi-objdump"), "-D", "-b", "binary", "-m", "arm",
             "-M", "force-thumb", "--no-show-raw-insn", str(code)],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    block: list[str] = []
    for text in re.findall(r"^\s*[0-9a-f]+:\t(.*)$", listing, re.M):
        instruction = re.split(r"[@;]", text)[0].strip()
        if re.fullmatch(r"udf[a-z]*\t#251", instruction):
            if block:
                yield block
            block = []
        else:
            block.append(instruction)


def _plain(block: list[str]) -> Iterator[str]:
    conditional = 0
    for text in block:
        mnemonic, _, operands = text.partition("\t")
        mnemonic = re.sub(r"\.[nw]$", "", mnemonic)
        if re.fullmatch(r"it[te]{0,3}", mnemonic):
            conditional = len(mnemonic) - 1
            yield "nop"
            continue
        if conditional:
            conditional -= 1
            mnemonic = mnemonic[:-2]
        multiple = _MULTIPLE.match(mnemonic)
        if multiple:
            load = multiple[2] in ("ldm", "pop")
            yield from _one_by_one("ldr" if load else "str", multiple[1], operands)
        elif mnemonic in ("bx", "blx"):
            yield f"bx\t{operands}"
        elif _BRANCH.match(f"{mnemonic} "):
            register, comma, _ = operands.rpartition(",")
            yield f"{'b' if mnemonic == 'bl' else mnemonic}\t{register}{comma}target"
        else:
            yield f"{mnemonic}\t" + re.sub(r"\], #-?\d+$|\]!$", "]", operands)


def _one_by_one(mnemonic: str, vector: str, operands: str) -> Iterator[str]:
    base = operands.partition("{")[0].strip(" ,!") or "sp"
    for registers in re.split(r",\s*", operands.partition("{")[2].rstrip("}")):
        run = re.fullmatch(r"([sd])(\d+)-[sd](\d+)", registers)
        numbers = range(int(run[2]), int(run[3]) + 1) if run else ()
        for register in [f"{run[1]}{n}" for n in numbers] if run else [registers]:
            yield "bx\tlr" if register == "pc" else f"{vector}{mnemonic}\t{register}, [{base}]"
