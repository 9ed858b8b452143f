"""Faults that are planted in our own code: one replacement of text each, listed by area.

``tests/mutants/AREA.toml`` has which tests should see the faults of a file, and the faults::

    [tests]
    "search/space.py" = ["tests/search/test_space.py"]

    [[mutant]]
    file = "search/space.py"
    find = "max(values.index(value) - 1, 0)"
    replace = "max(values.index(value), 0)"
    fault = "the next lower value is the value itself"

Files that ``[tests]`` does not name have the tests of ``"*"``, where it names that.
A mutant that no test can notice says under ``equivalent`` why the program is the same with it.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterator
from pathlib import Path

from mcuformer_tflm.keras_models.exceptions import ConfigError

FOLDER = "tests/mutants"


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        area: Name of the list that it is from.
        file: What it is planted in, relative to the checkout.
        find: Text that is there exactly once.
        replace: What takes its place.
        fault: What is wrong then, in words.
        tests: Files or tests of pytest that should see it, the cheapest first.
        equivalent: Why nothing can see it; empty where something should.
        short: Whether it is among the few of the short effort.
    """

    area: str
    file: str
    find: str
    replace: str
    fault: str
    tests: tuple[str, ...]
    equivalent: str = ""
    short: bool = False

    @property
    def name(self) -> str:
        """Its file and fault."""
        return f"{self.file}: {self.fault}"

    def planted(self, text: str) -> str:
        """Returns the text of its file with the fault.

        Raises:
            ConfigError: If what it replaces is not there exactly once.
        """
        if (count := text.count(self.find)) != 1:
            raise ConfigError(
                f"The mutant {self.name!r} replaces {self.find!r}, which is there {count} times. "
                f"Find a text that is there once, in {FOLDER}/{self.area}.toml."
            )
        return text.replace(self.find, self.replace)


def read_mutants(root: Path) -> list[Mutant]:
    """Returns all mutants of a checkout, area by area.

    Raises:
        ConfigError: If a list is damaged, names a file or test that is not there, replaces nothing
            or what is not there exactly once, or a mutant is there twice.
    """
    found: list[Mutant] = []
    for path in sorted((root / FOLDER).glob("*.toml")):
        found += _read(path, root)
    problems = list(_problems(found, root))
    if problems:
        raise ConfigError(" ".join(problems))
    return found


def _read(path: Path, root: Path) -> Iterator[Mutant]:
    try:
        listed = tomllib.loads(path.read_text(encoding="utf-8"))
        of_file = listed["tests"]
        for entry in listed["mutant"]:
            tests = entry.pop("tests", None) or of_file.get(entry["file"]) or of_file["*"]
            yield Mutant(path.stem, **entry, tests=tuple(tests))
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ConfigError(f"{path.relative_to(root)} is no list of mutants: {error!r}.") from error


def _problems(mutants: list[Mutant], root: Path) -> Iterator[str]:
    seen: set[tuple[str, str, str]] = set()
    for mutant in mutants:
        key = (mutant.file, mutant.find, mutant.replace)
        if key in seen or mutant.find == mutant.replace:
            yield f"The mutant {mutant.name!r} is there twice, or replaces nothing."
        seen.add(key)
        for named in (mutant.file, *(test.split("::")[0] for test in mutant.tests)):
            if not (root / named).is_file():
                yield f"The mutant {mutant.name!r} names {named}, which is not there."
                break
        else:
            try:
                mutant.planted((root / mutant.file).read_text(encoding="utf-8"))
            except ConfigError as error:
                yield str(error)
