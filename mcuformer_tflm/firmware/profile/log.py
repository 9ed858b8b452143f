"""What a board's program told of its cycles: the lines of ``support/app/profile.cc``, read back.

A capture of a UART has more than these lines: what its program put before them, other lines
between them, a first inference of which only the end was heard, a last one that was cut off.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
import re

import numpy as np

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import DataError
from mcuformer_tflm.keras_models.untrusted_files import MOST_TEXT_BYTES, read_file

_MARK = "mcuformer profile: "
_LINE = re.compile(rf"({_MARK}.*) \*([0-9]{{1,3}})\s*$")
# A cycle counter has 32 bits, the camera's sum and the total have 64.
_HEADER = re.compile(
    r"model 0x([0-9a-f]{8}), board (\S+), core (\S+), ([0-9]{1,5}) MHz, ([0-9]{1,5}) operators, "
    r"counted by (.+)"
)
_CAMERA = re.compile(r"camera ([0-9]{1,18})")
_OPERATOR = re.compile(r"operator ([0-9]{1,5}), ([0-9]{1,10}) cycles, (.+)")
_TOTAL = re.compile(r"total ([0-9]{1,18})")
_NO_CYCLES = re.compile(r"no cycles: (.+)")
_AGAIN = "Capture the log again"


@dataclasses.dataclass(frozen=True)
class Program:
    """Which program was measured, and by what.

    Attributes:
        model_checksum: Of the ``.tflite``, as ``source.checksum`` computes it.
        board: Name of the board that it was built for.
        core: The core that it found itself on.
        megahertz: The board's clock, as the board's file has it; 0 if it has none.
        num_operators: How many operators the model has.
        counter: What counted; ``DWT`` is the core's own cycle counter.
    """

    model_checksum: int
    board: str
    core: str
    megahertz: int
    num_operators: int
    counter: str


@dataclasses.dataclass(frozen=True)
class ProfileLog:
    """The whole inferences of a log.

    Attributes:
        program: What ran.
        operators: Names of its operators, in order.
        cycles: int64[inferences, operators].
        camera_cycles: int64[inferences], spent waiting for the picture; part of no operator.
    """

    program: Program
    operators: tuple[str, ...]
    cycles: np.ndarray
    camera_cycles: np.ndarray


def read_profile_log(path: AnyPath) -> ProfileLog:
    """Reads a log, such as a terminal program's capture of a UART.

    Raises:
        DataError: If it cannot be read, holds no whole inference, or one that is damaged: says
            which line and what is wrong with it.
    """
    file = checked_path("log", path)
    try:
        text = read_file(file, MOST_TEXT_BYTES).decode("utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"The log {file} cannot be read ({error.strerror}).") from error
    try:
        return _parse(text)
    except DataError as error:
        raise DataError(f"{file}{error}") from None


@dataclasses.dataclass
class _Inference:
    line: int
    program: Program
    camera: int | None = None
    names: list[str] = dataclasses.field(default_factory=list)
    cycles: list[int] = dataclasses.field(default_factory=list)

    def missing(self) -> str:
        if self.camera is None:
            return "the line of the camera"
        if len(self.cycles) < self.program.num_operators:
            return f"operator {len(self.cycles)}"
        return "the total"


def _parse(text: str) -> ProfileLog:
    whole: list[_Inference] = []
    current: _Inference | None = None
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if _MARK not in line:
            continue
        try:
            body = _checked(line, number)
        except DataError:
            if number == len(lines):  # nothing ends it: the capture was stopped within it
                break
            raise
        if reason := _NO_CYCLES.fullmatch(body):
            raise DataError(f", line {number}: the program counted no cycles: {reason[1]}.")
        if header := _HEADER.fullmatch(body):
            if current is not None:
                raise _incomplete(current)
            current = _Inference(number, _program(header))
            if whole and current.program != whole[0].program:
                raise DataError(
                    f", line {number}: this is another program than in line {whole[0].line}. Give "
                    "each a log of its own."
                )
        elif current is not None and _take(current, body, number):
            whole.append(current)
            current = None
    if not whole:
        if current is not None:
            raise _incomplete(current)
        raise DataError(
            f" holds no whole inference: no line begins one (`{_MARK}model ...`). Build the "
            "firmware with -DMCUFORMER_PROFILE=ON, and capture what it writes from its start."
        )
    names = tuple(whole[0].names)
    for inference in whole:
        if tuple(inference.names) != names:
            raise DataError(f", line {inference.line}: its operators are not those of the first.")
    return ProfileLog(
        whole[0].program,
        names,
        np.array([inference.cycles for inference in whole], np.int64),
        np.array([inference.camera for inference in whole], np.int64),
    )


def _checked(line: str, number: int) -> str:
    # The last mark: a line that was cut may run into the next.
    found = _LINE.search(line[line.rindex(_MARK) :])
    if found is not None:
        check = functools.reduce(operator.xor, found[1].encode())
        if check == int(found[2]):
            return found[1].removeprefix(_MARK)
    raise DataError(f", line {number} is damaged: {line.strip()!r}. {_AGAIN}.")


def _program(header: re.Match[str]) -> Program:
    checksum, board, core, megahertz, operators, counter = header.groups()
    return Program(int(checksum, 16), board, core, int(megahertz), int(operators), counter)


def _take(inference: _Inference, body: str, number: int) -> bool:
    """Adds a line to an inference; returns whether that is whole now."""
    expected = inference.missing()
    if (camera := _CAMERA.fullmatch(body)) and inference.camera is None:
        inference.camera = int(camera[1])
        return False
    if (found := _OPERATOR.fullmatch(body)) and expected == f"operator {found[1]}":
        if int(found[2]) == 0:
            raise DataError(
                f", line {number}: {found[3]} took no cycle. The counter stands still, as in an "
                "emulator without DWT."
            )
        inference.cycles.append(int(found[2]))
        inference.names.append(found[3])
        return False
    if (total := _TOTAL.fullmatch(body)) and expected == "the total":
        if int(total[1]) != sum(inference.cycles):
            raise DataError(
                f", line {number}: the total is {total[1]}, the sum {sum(inference.cycles)}."
            )
        return True
    raise DataError(
        f", line {number}: {expected} is missing before {body!r}, of the inference that begins in "
        f"line {inference.line}. {_AGAIN}."
    )


def _incomplete(inference: _Inference) -> DataError:
    return DataError(
        f": {inference.missing()} is missing, of the inference that begins in line "
        f"{inference.line}. {_AGAIN}."
    )
