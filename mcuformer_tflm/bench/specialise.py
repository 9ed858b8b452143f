"""Networks of the shipped supernet for four arenas, beside the same trained alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tomlkit

from mcuformer_tflm.bench.figures import named
from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.whole_file import write_whole
from mcuformer_tflm.search.progress import Report as Progress
from mcuformer_tflm.task.board_search import run_search, search_data
from mcuformer_tflm.task.run_file import SearchRun
from mcuformer_tflm.task.stages import REPORT_FILE
from mcuformer_tflm.zoo.card import ModelCard
from mcuformer_tflm.zoo.catalogue import CARD_FILE, model_card
from mcuformer_tflm.zoo.supernets import trained_supernet

ARENAS_KIB = (8, 16, 32, 64)
SUPERNET = "fashion_mnist"
BOARD = "stm32f427"
WORK = Path("build/specialise")
# Whose recipe trains a network alone.
_ALONE_LIKE = "fashion_mnist_conv_64k"
_METRICS = {
    "int8_top1": "share",
    "float_top1": "share",
    "arena_bytes": "bytes",
    "flash_bytes": "bytes",
    "seconds": "s",
}


def run(
    progress: Progress,
    *,
    alone: AnyPath | None = None,
    work: AnyPath | None = None,
    supernet: str = SUPERNET,
    minutes: float = 5.0,
) -> list[Row]:
    """Specialises the supernet for each arena, and compares with networks trained alone.

    Each arena has a folder in ``work``: what is finished there is not done again, and what was
    interrupted goes on. Beside them a recipe is written for each chosen network,
    ``specialise_<KiB>.toml``, by which ``mcuformer zoo train`` trains the same from nothing.

    Args:
        progress: Called with (what is being done, done, total).
        alone: Folder of models that were trained by those recipes; None compares with none.
        work: Folder of all results; by default ``build/specialise``.
        supernet: A trained supernet, by its name in the zoo or its file.
        minutes: Of each arena.

    Raises:
        ConfigError: If there is no such supernet, or a model in ``alone`` has another network.
    """
    work = checked_path("work", WORK if work is None else work)
    folder = None if alone is None else checked_path("alone", alone)
    rows: list[Row] = []
    for kib in ARENAS_KIB:
        search = SearchRun(board=BOARD, arena_kib=kib, supernet=supernet, minutes=minutes)
        report = _report(search, work / f"{kib}", named(progress, f"{kib} KiB"))
        recipe = work / f"specialise_{kib}.toml"
        write_whole(recipe, _alone_recipe(recipe.stem, kib, report["architecture"]))
        rows += _rows(kib, report, _card(folder, recipe.stem, report))
    return rows


def _report(search: SearchRun, out: Path, progress: Progress) -> dict[str, Any]:
    path = out / REPORT_FILE
    if not path.exists():
        assert search.supernet is not None
        supernet = trained_supernet(search.supernet)
        run_search(search, search_data(search, supernet=supernet), out, progress, supernet=supernet)
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    there = report["supernet"], report["minutes"]
    if there != (search.supernet, search.minutes):
        raise ConfigError(
            f"{path} is of the supernet {there[0]} and {there[1]} minutes; remove {out}, or give "
            "another folder."
        )
    return report


def _card(folder: Path | None, name: str, report: Mapping[str, Any]) -> ModelCard | None:
    if folder is None or not (folder / name / CARD_FILE).exists():
        return None
    card = ModelCard.read(folder / name / CARD_FILE)
    networks = [
        Architecture.from_json(text) for text in (card.architecture, report["architecture"])
    ]
    if networks[0] != networks[1]:
        raise ConfigError(
            f"{folder / name} is another network than the one that was chosen; train it by the "
            "recipe that this benchmark wrote last."
        )
    return card


def _rows(kib: int, report: Mapping[str, Any], card: ModelCard | None) -> Iterator[Row]:
    note = (
        f"{report['board']}, {report['minutes']:g} minutes planned, "
        f"{report['test_images']:,} test images"
    )
    figures = {name: (report[name], unit) for name, unit in _METRICS.items()}
    if card is not None:
        figures["int8_top1_alone"] = card.int8_top1, "share"
        figures["difference"] = 100 * (report["int8_top1"] - card.int8_top1), "points"
    for metric, (value, unit) in figures.items():
        yield Row("specialise", f"specialise/{kib}", metric, value, unit, note=note)


def _alone_recipe(name: str, kib: int, architecture: str) -> str:
    """Returns the recipe file of a network that is trained alone as the zoo's are."""
    told = model_card(_ALONE_LIKE).recipe
    assert told is not None
    network = Architecture.from_json(architecture)
    tables: dict[str, Any] = {
        "name": name,
        "data": told["data"],
        "seed": told["seed"],
        "arena_kib": kib,
        "architecture": {"depth": network.depth, **network.to_dict()},
    }
    for table, field in (
        ("teacher", "teacher"), ("float", "float_training"), ("quantized", "quantized_training"),
    ):  # fmt: skip
        stretch = dict(told[field])
        tables[table] = {**stretch.pop("recipe"), **stretch}
    tables["teacher"]["width"] = told["teacher_width"]
    text = tomlkit.dumps(_without_none(tables))
    return f"# Trained alone: mcuformer zoo train THIS --out FOLDER\n{text}"


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_none(value) if isinstance(value, Mapping) else value
        for name, value in json.loads(json.dumps(values)).items()
        if value is not None
    }
