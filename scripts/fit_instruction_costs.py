"""Counts kernels on the emulated cores, and fits what each of their loops costs.

    python scripts/fit_instruction_costs.py

Writes ``search/cost/instruction_costs.json``, from which instructions of networks that do not exist
yet are computed. Run it when kernels have changed: a test says so. Some minutes on two cores.
"""

from __future__ import annotations

from mcuformer_tflm.bench.instruction_fit import fit_costs, write_costs
from mcuformer_tflm.search.progress import progress_bars


def main() -> None:
    """Writes the costs and prints the errors."""
    with progress_bars() as progress:
        costs = fit_costs(progress)
    for core, found in costs["cores"].items():
        print(f"{core}, cycles: {found['cycles']}")
        for kind, fit in found["operators"].items():
            print(
                f"{core}, {kind}: {fit['samples']} counted, held out {fit['held_out_mean']:.2%} "
                f"off on average, {fit['held_out_worst']:.2%} at worst"
            )
    write_costs(costs)


if __name__ == "__main__":
    main()
