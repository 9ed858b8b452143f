"""Prints the tables of docs/search.md that the proof's rows fill, beside the paper's.

Usage: python scripts/search_proof_tables.py docs/search-proof.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from mcuformer_tflm.bench.proof import BUDGETS
from mcuformer_tflm.bench.strategies import NEIGHBOURS, STRATEGIES, THRESHOLDS

# Tables 1 and 2 of the paper, on ImageNet: flash in MB, memory in KB, top-1 in %.
_PAPER_SPACES = {
    "random_pair": (1.03, 332, 65.2),
    "maximal": (1.11, 271, 69.2),
    "composed": (0.96, 218, 68.6),
    "evolved": (0.89, 218, 71.1),
}
_PAPER_NEIGHBOURS = {2: 65.4, 3: 68.2, 5: 71.1, 8: 71.1}

Values = dict[tuple[str, str], float]


def main(path: Path) -> None:
    """Prints every table of which there is a figure."""
    values: Values = {
        (row["case"], row["metric"]): row["value"]
        for row in json.loads(path.read_text(encoding="utf-8"))
    }
    for part in (_spaces(values), _neighbours(values), _thresholds(values), _recipes(values)):
        print("\n".join(part), end="\n\n")


def _spaces(values: Values) -> Iterator[str]:
    for budget in BUDGETS:
        kib = budget.arena // 1024
        yield f"| {budget.name} | seeds | top-1 | over random search | arena | flash | paper |"
        yield "|---|---|---|---|---|---|---|"
        for name in ("default", *STRATEGIES):
            case = f"proof/{name}/{kib}"
            if (case, "top1_mean") not in values:
                continue
            paper = _PAPER_SPACES.get(name)
            cells = [
                name,
                f"{values[case, 'seeds']:.0f}",
                _told(values, case, "top1_mean", "top1_ci95"),
                _told(values, case, "advantage_over_random", "advantage_ci95"),
                f"{values[case, 'arena_bytes']:,.0f}",
                f"{values[case, 'flash_bytes']:,.0f}",
                "" if paper is None else "{2} %, {1} KB, {0} MB".format(*paper),
            ]
            yield f"| {' | '.join(cells)} |"
        yield ""


def _neighbours(values: Values) -> Iterator[str]:
    yield "| k | top-1 | paper |"
    yield "|---|---|---|"
    for k in sorted((5, *NEIGHBOURS)):
        told = _told(values, _variant(f"k{k}" if k != 5 else "evolved"), "top1_mean", "top1_ci95")
        yield f"| {k} | {told} | {_PAPER_NEIGHBOURS[k]} % |"


def _thresholds(values: Values) -> Iterator[str]:
    yield "| h | h1 | h2 |"
    yield "|---|---|---|"
    for h in sorted((0.01, *THRESHOLDS)):
        cells = [
            _told(values, _variant(f"{name}_{h}" if h != 0.01 else "evolved"),
                  "top1_mean", "top1_ci95")
            for name in ("h1", "h2")
        ]  # fmt: skip
        yield f"| {h} | {' | '.join(cells)} |"


def _recipes(values: Values) -> Iterator[str]:
    yield "| recipe | equal seconds | equal steps |"
    yield "|---|---|---|"
    for case in dict.fromkeys(case for case, _ in values if case.startswith("recipe/")):
        cells = [
            _told(values, case, f"{metric}_mean", f"{metric}_ci95")
            for metric in ("accuracy", "accuracy_equal_steps")
        ]
        yield f"| {case.removeprefix('recipe/')} | {' | '.join(cells)} |"


def _variant(name: str) -> str:
    return f"proof/{name}/{BUDGETS[0].arena // 1024}"


def _told(values: Values, case: str, mean: str, half: str) -> str:
    if (case, mean) not in values:
        return ""
    interval = f" ± {100 * values[case, half]:.1f}" if (case, half) in values else ""
    return f"{100 * values[case, mean]:.1f}{interval}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
