"""Faults in our own code, each of which some test must notice (``tests/mutants/``)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mcuformer_tflm.bench.faults.mutants import Mutant, read_mutants
from mcuformer_tflm.bench.faults.mutation import Workshop, find_checkout, tests_of
from mcuformer_tflm.bench.faults.result import CampaignResult, Effort
from mcuformer_tflm.keras_models.exceptions import ConfigError, McuformerError
from mcuformer_tflm.search.oracles.resumable_oracle import write_whole
from mcuformer_tflm.search.progress import Report

FOLDER = "build/mutations"


def run(effort: Effort, report: Report) -> CampaignResult:
    """Plants faults and runs the tests that should see them, the cheapest first.

    ``tried`` counts the faults, ``survived`` those that a test noticed, ``lost`` those that none
    did though it could. One that is known to change nothing (``Mutant.equivalent``) is in neither:
    were it noticed, that would be a fault of the list. Verdicts are kept in ``build/mutations`` and
    hold as long as the file, its mutant and the tests stay as they are, so that a run that was
    ended goes on.

    Args:
        effort: ``long``: all; ``short``: the few of each area that are marked so.
        report: Called with (what is being done, done, total).

    Raises:
        ConfigError: If this is no checkout, a list of mutants is stale, or tests fail on the
            sources as they are.
        ToolchainError: If the operators cannot be built.
    """
    root = find_checkout()
    mutants = read_mutants(root)
    chosen = [mutant for mutant in mutants if mutant.short or effort == "long"]
    workshop = Workshop(root, root / FOLDER)
    return try_mutants(workshop, Verdicts(root / FOLDER / "verdicts.json"), chosen, report)


def try_mutants(
    workshop: Workshop, verdicts: Verdicts, mutants: Sequence[Mutant], report: Report
) -> CampaignResult:
    """As ``run``, for the mutants that are given.

    Args:
        workshop: Where they are planted.
        verdicts: What is known already; the others are added.
        mutants: Of ``read_mutants``.
        report: As for ``run``.

    Raises:
        ConfigError: If tests fail on the sources as they are.
    """
    tests = tests_of([mutant for mutant in mutants if workshop.digest(mutant) not in verdicts])
    for done, test in enumerate(tests):
        report("tests without a fault", done, len(tests))
        key = workshop.digest_of_test(test, mutants)
        if key not in verdicts:
            failed = workshop.failure(test)
            if failed is not None:
                raise ConfigError(f"{failed} fails without any fault; mutants would tell nothing.")
            verdicts.keep(key, {"passes": test})
    for done, mutant in enumerate(mutants):
        report("mutants", done, len(mutants))
        key = workshop.digest(mutant)
        if key not in verdicts:
            verdicts.keep(key, {"mutant": mutant.name, **_try(workshop, mutant)})
    return _result(mutants, [verdicts[workshop.digest(mutant)] for mutant in mutants])


class Verdicts:
    """What became of mutants, in a file that is written after each.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        """Reads what is there."""
        self._path = path
        self._kept: dict[str, Any] = {}
        if path.exists():
            self._kept = json.loads(path.read_text(encoding="utf-8"))

    def __contains__(self, key: str) -> bool:
        return key in self._kept

    def __getitem__(self, key: str) -> dict[str, Any]:
        return self._kept[key]

    def keep(self, key: str, verdict: dict[str, Any]) -> None:
        """Writes one more."""
        self._kept[key] = verdict
        write_whole(self._path, json.dumps(self._kept, indent=1))


def _try(workshop: Workshop, mutant: Mutant) -> dict[str, Any]:
    try:
        return {"noticed": workshop.problem(mutant)}
    except (McuformerError, SyntaxError) as error:
        # Of no use as it is: it does not compile, or its tests are not there.
        return {"noticed": None, "error": str(error)}


def _result(mutants: Sequence[Mutant], verdicts: Sequence[dict[str, Any]]) -> CampaignResult:
    survived = lost = 0
    details, areas = [], dict.fromkeys((m.area for m in mutants), 0)
    for mutant, verdict in zip(mutants, verdicts, strict=True):
        areas[mutant.area] += 1
        noticed = verdict["noticed"]
        if "error" in verdict:
            lost += 1
            details.append(f"{mutant.name}: {verdict['error'][-300:]}")
        elif mutant.equivalent and noticed:
            lost += 1
            details.append(f"{mutant.name}: said to change nothing, and noticed by {noticed}")
        elif mutant.equivalent:
            details.append(f"{mutant.name}: changes nothing. {mutant.equivalent}")
        elif noticed:
            survived += 1
        else:
            lost += 1
            details.append(f"{mutant.name}: noticed by none of {', '.join(mutant.tests)}")
    figures = {f"of {area}": (float(count), "") for area, count in areas.items()}
    return CampaignResult(len(mutants), survived, lost, tuple(details), figures)
