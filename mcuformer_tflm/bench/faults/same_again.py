"""Same in, same out: search, training, quantization and conversion again, in fresh processes.

``python -m mcuformer_tflm.bench.faults.same_again FOLDER THREADS`` runs one of them there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from mcuformer_tflm.bench.faults.jobs import JOBS
from mcuformer_tflm.bench.faults.result import CampaignResult, Effort, Tally
from mcuformer_tflm.search.progress import Report

_JOB = "report"
_SECONDS = 1800
# What may change nothing: threads, and variables of the environment.
_VARIATIONS: dict[str, tuple[int, dict[str, str]]] = {
    "the same again": (1, {}),
    "another order of sets, another folder": (1, {"PYTHONHASHSEED": "1"}),
    "four threads": (4, {"OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "4"}),
}
# What stands for another processor: its vector units add in another order.
_PROCESSORS = {
    "same_as_of_sse41": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "same_without_onednn": {"TF_ENABLE_ONEDNN_OPTS": "0"},
}


def run(effort: Effort, report: Report) -> CampaignResult:
    """Compares the subnet that is chosen and the bytes of its ``.tflite``.

    Figures tell, 1 or 0, whether they were the same too where oneDNN used other instructions, as on
    another processor; that is not promised.

    Args:
        effort: Each variation once, or 5 times and with the figures.
        report: Called with (what is being done, done, total).
    """
    tally, wanted = Tally(), fresh(1, {"PYTHONHASHSEED": "0"})
    names = list(_VARIATIONS) * (5 if effort == "long" else 1)
    for number, name in enumerate(names, 1):
        given = fresh(*_VARIATIONS[name])
        tally.count(name, None if given == wanted else f"gave {given}, and {wanted} before")
        report("the same again", number, len(names), name)
    if effort == "long":
        for name, variables in _PROCESSORS.items():
            tally.figures[name] = (int(fresh(1, variables) == wanted), "")
    return tally.result()


def fresh(threads: int, variables: dict[str, str]) -> str:
    """Returns what one process found, or how it failed."""
    with tempfile.TemporaryDirectory() as folder:
        result = subprocess.run(
            [sys.executable, "-m", __name__, folder, str(threads)],
            cwd=folder, env={**os.environ, "PYTHONHASHSEED": "0", **variables}, timeout=_SECONDS,
            capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    return result.stdout or f"status {result.returncode}: {result.stderr[-500:]}"


def main() -> None:
    """Runs the job and prints what it found, as JSON."""
    import tensorflow as tf

    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    print(json.dumps(JOBS[_JOB](folder), sort_keys=True))


if __name__ == "__main__":
    main()
