"""A board's TOML file, as the fields of ``Board`` (search/board.py)."""

from __future__ import annotations

import dataclasses
import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcuformer_tflm.keras_models.checked_values import (
    AnyPath,
    checked_path,
    checked_real,
    checked_whole,
    shown,
)
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.untrusted_files import read_toml

# The boards that are known by name, a file each.
BOARD_FOLDER = Path(__file__).parent / "boards"
SUFFIX = ".toml"
_KIB = 1024


@dataclasses.dataclass(frozen=True)
class _Table:
    """A table of a file; what is asked of it is named as the file names it."""

    values: Mapping[str, Any]
    prefix: str = ""

    def check(self, needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
        known = (*needed, *optional)
        for key in self.values:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f" Did you mean {near[0]}?" if near else ""
                raise ConfigError(
                    f"there is no field {self.prefix}{key}; allowed are {', '.join(known)}.{hint}"
                )
        for key in needed:
            if key not in self.values:
                raise ConfigError(f"{self.prefix}{key} is missing.")

    def text(self, key: str) -> str:
        value = self.values[key]
        if not isinstance(value, str) or not value:
            raise ConfigError(f"{self.prefix}{key} is {shown(value)}; it must be a text.")
        return value

    def whole(self, key: str, least: int = 1) -> int:
        return checked_whole(self.prefix + key, self.values[key], least=least)

    def real(self, key: str) -> float:
        return checked_real(self.prefix + key, self.values[key], open_below=True)

    def table(self, key: str) -> _Table:
        return _table(self.values[key], self.prefix + key)

    def tables(self, key: str) -> list[_Table]:
        rows = self.values[key]
        if not isinstance(rows, list) or not rows:
            raise ConfigError(
                f"{self.prefix}{key} is {shown(rows)}; it must be one or more tables [[{key}]]."
            )
        return [_table(row, f"{self.prefix}{key}[{i}]") for i, row in enumerate(rows)]


def _table(value: Any, name: str) -> _Table:
    if not isinstance(value, dict):
        raise ConfigError(f"{name} is {shown(value)}; it must be a table {{ ... }}.")
    return _Table(value, f"{name}.")


def read_fields(path: AnyPath) -> dict[str, Any]:
    """Reads a board's file.

    Types and signs are checked here, by the names that the file gives its fields; what a board
    may be, ``Board`` checks.

    Args:
        path: A ``.toml``; docs/own-board.md tells its fields.

    Returns:
        Arguments of ``Board``; of each region of memory, those of ``SramRegion``.

    Raises:
        ConfigError: If it is no file, no TOML, or has an unknown, missing or wrong field; names
            the file and the field.
    """
    file = checked_path("board", path)
    try:
        return _fields(_Table(_parse(file)), file.parent)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def _parse(file: Path) -> dict[str, Any]:
    if os.path.isdir(file):
        raise ConfigError(f"this is a folder; give a board's {SUFFIX} file.")
    if file.suffix.lower() != SUFFIX:
        raise ConfigError(f"a board is a name or a file that ends in {SUFFIX}.")
    try:
        return read_toml(file)
    except FileNotFoundError:
        others = sorted(other.name for other in file.parent.glob(f"*{SUFFIX}"))
        near = [str(file.parent / other) for other in difflib.get_close_matches(file.name, others)]
        if (BOARD_FOLDER / file.name).exists():
            near = [file.stem]
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ConfigError(f"there is no such file.{hint}") from None
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"it is no text in UTF-8 (byte {error.start}).") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"it is no TOML: {error}.") from None
    except ValueError as error:
        raise ConfigError(f"it is no board: {error}.") from None


def _fields(top: _Table, folder: Path) -> dict[str, Any]:
    top.check(
        ("name", "core", "flash", "sram"),
        (
            "megahertz",
            "external_flash",
            "interrupts",
            "fpu",
            "peripherals",
            "start_up",
            "calibration",
        ),
    )
    flash = top.table("flash")
    flash.check(("address", "kib"))
    fields: dict[str, Any] = {
        "name": top.text("name"),
        "core": top.text("core"),
        "flash": flash.whole("kib") * _KIB,
        "flash_address": flash.whole("address", least=0),
        "sram_regions": [_region(table) for table in top.tables("sram")],
    }
    if "external_flash" in top.values:
        external = top.table("external_flash")
        external.check(("address", "kib"), ("bytes_per_second",))
        fields["external_flash"] = external.whole("kib") * _KIB
        fields["external_flash_address"] = external.whole("address", least=0)
        if "bytes_per_second" in external.values:
            fields["external_bytes_per_second"] = external.whole("bytes_per_second")
    for key in ("megahertz", "interrupts"):
        if key in top.values:
            fields[key] = top.whole(key)
    if "peripherals" in top.values:
        fields["peripherals"] = [_region(table) for table in top.tables("peripherals")]
    if "fpu" in top.values:
        fields["fpu"] = top.text("fpu")
    if "start_up" in top.values:
        fields["start_up"] = _start_up(top.text("start_up"), folder)
    if "calibration" in top.values:
        calibration = top.table("calibration")
        calibration.check((), ("cycles_per_instruction",))
        if "cycles_per_instruction" in calibration.values:
            fields["cycles_per_instruction"] = calibration.real("cycles_per_instruction")
    return fields


def _region(table: _Table) -> dict[str, Any]:
    table.check(("name", "address", "kib"))
    return {
        "name": table.text("name"),
        "address": table.whole("address", least=0),
        "size": table.whole("kib") * _KIB,
    }


def _start_up(name: str, folder: Path) -> str:
    if not name.endswith(".cc"):
        return name
    source = os.path.abspath(folder / name)
    if not os.path.isfile(source):
        raise ConfigError(f"start_up is {shown(name)}, and there is no file {shown(source)}.")
    return source
