"""The search's strategies beside each other, at equal numbers of training steps.

Whatever is trained, scored or tested is kept on disk under what it follows from (``kept_work``),
so that strategies and seeds share what they have in common, any run goes on where the last one was
ended, and several processes may run side by side.
"""

from __future__ import annotations

import datetime
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mcuformer_tflm.bench.any_pair import AnyPair
from mcuformer_tflm.bench.confidence import mean_and_interval
from mcuformer_tflm.bench.equal_steps import Settings, Study, shared_pairs
from mcuformer_tflm.bench.kept_work import HeldByOthersError, KeptWork, OutOfTimeError
from mcuformer_tflm.bench.recipes import recipe_rows
from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.bench.strategies import CONTENDERS, DEFAULT, STRATEGIES, VARIANTS
from mcuformer_tflm.data.fashion_mnist import fashion_mnist
from mcuformer_tflm.data.image_data import ImageData
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.oracles.evolution_picture import draw_evolution
from mcuformer_tflm.search.oracles.evolution_step import Visit
from mcuformer_tflm.search.progress import Report

# Arena and flash, the latter as the zoo's models of such arenas have it.
BUDGETS = (
    Budget(16 * 1024, 128_000, "16 KiB"),
    Budget(48 * 1024, 256_000, "48 KiB"),
)
SEEDS = 5
_VARIANT_SEEDS = 3
# Of the contenders and random search alone, since the pairs that chance draws are far apart.
MORE_SEEDS = 8
BASELINE = "random_search"


class Job(NamedTuple):
    """One search from beginning to end."""

    strategy: str
    budget: Budget
    seed: int

    @property
    def name(self) -> str:
        """Of its rows."""
        return f"{self.strategy}_{self.budget.arena // 1024}"


def main_jobs() -> list[Job]:
    """Returns every strategy under every budget, in the order in which they are begun."""
    return [
        Job(strategy, budget, seed)
        for seed in range(SEEDS)
        for budget in BUDGETS
        for strategy in STRATEGIES
    ]


def further_jobs() -> list[Job]:
    """Returns more seeds of what is held against each other, and the variants, on one budget."""
    more = [
        Job(strategy, budget, seed)
        for seed in range(SEEDS, MORE_SEEDS)
        for budget in BUDGETS
        for strategy in (*CONTENDERS, BASELINE)
    ]
    return more + [
        Job(name, BUDGETS[0], seed) for seed in range(_VARIANT_SEEDS) for name in VARIANTS
    ]


def run_proof(
    directory: Path,
    progress: Report,
    *,
    deadline: float,
    settings: Settings | None = None,
    first: Sequence[Job] | None = None,
    then: Sequence[Job] | None = None,
    picture: Path | None = None,
) -> list[Row]:
    """Does as much as there is time for, and returns the rows of all that is done.

    Args:
        directory: Where everything is kept.
        progress: Called with (what is being done, done, total).
        deadline: By ``time.monotonic``, after which nothing is begun.
        settings: What is the same for all strategies.
        first: Searches, by default ``main_jobs``; the recipes come after them.
        then: Further ones, by default ``further_jobs``.
        picture: Where the way of the first seed's evolution is drawn (the paper's Figure 4).
    """
    proof = _Proof(directory, progress, deadline, settings or Settings())
    first = main_jobs() if first is None else first
    then = further_jobs() if then is None else then
    done = proof.work_off(first)
    recipes = list(proof.recipes())
    done |= proof.work_off(then)
    if picture is not None:
        for job, record in done.items():
            if (job.strategy, job.budget, job.seed) == ("evolved", BUDGETS[0], 0):
                history = [Visit(tuple(p), e, s, w) for p, e, s, w in record["history"]]
                draw_evolution(proof.settings.space, history, picture)
    return [*rows_of(done), *recipes, *_lacking([*first, *then], done)]


class _Proof:
    def __init__(
        self, directory: Path, progress: Report, deadline: float, settings: Settings
    ) -> None:
        self.settings, self.progress = settings, progress
        self.kept = KeptWork(directory, deadline)
        self._pairs: dict[int, AnyPair] = {}
        self._data: ImageData | None = None

    def work_off(self, todo: Sequence[Job]) -> dict[Job, dict[str, Any]]:
        """Returns what is done of the searches, after having done what there was time for."""
        done: dict[Job, dict[str, Any]] = {}
        while len(done) < len(todo):
            held_by_others = False
            for job in todo:
                if job in done:
                    continue
                record = self.kept.known("searches", job.name, self._key(job))
                if record is None:
                    try:
                        with self.kept.alone(f"{job.name}-seed{job.seed}") as mine:
                            held_by_others |= not mine
                            record = self._search(job) if mine else None
                    except HeldByOthersError:
                        held_by_others = True
                    except OutOfTimeError:
                        return done | self._known(todo)
                if record is not None:
                    done[job] = record
            if held_by_others:
                time.sleep(1)
        return done

    def recipes(self) -> Iterator[Row]:
        """Yields the rows of ways to train a supernet, on the tightest budget."""
        return recipe_rows(self.settings, BUDGETS[0], self._images(), self.kept, self.progress)

    def _known(self, todo: Sequence[Job]) -> dict[Job, dict[str, Any]]:
        found = {job: self.kept.known("searches", job.name, self._key(job)) for job in todo}
        return {job: record for job, record in found.items() if record is not None}

    def _search(self, job: Job) -> dict[str, Any]:
        study = self._study(job)

        def search() -> dict[str, Any]:
            found = {**STRATEGIES, **VARIANTS}[job.strategy](study)
            architecture = found.network or study.find(
                found.training, found.space, evolve=found.evolve
            )
            outcome = study.outcome(found.training, architecture)
            return {**outcome, "history": found.history}

        record: dict[str, Any] = self.kept.value("searches", job.name, self._key(job), search)
        return record

    def _study(self, job: Job) -> Study:
        self.kept.check_time()
        if job.budget.arena not in self._pairs:
            self._pairs[job.budget.arena] = shared_pairs(self.settings, job.budget)
        return Study(
            self.settings, job.budget, job.seed, self._images(), self.kept,
            self._pairs[job.budget.arena], self.progress,
        )  # fmt: skip

    def _images(self) -> ImageData:
        self._data = self._data or fashion_mnist()
        return self._data

    def _key(self, job: Job) -> dict[str, Any]:
        return {
            "strategy": job.strategy,
            "arena": job.budget.arena,
            "flash": job.budget.flash,
            "seed": job.seed,
            "settings": self.settings.to_dict(),
        }


def rows_of(done: dict[Job, dict[str, Any]]) -> Iterator[Row]:
    """Yields rows of single searches, and of strategies over seeds, beside random search."""
    for job, record in done.items():
        case, note = f"ablation/{job.name}/seed{job.seed}", _told(record)
        yield Row("search", case, "top1", record["top1"], "", note=f"{note}; trained on")
        yield Row("search", case, "top1_inherited", record["top1_inherited"], "",
                  note=f"{note}; supernet's weights")  # fmt: skip
        for metric in ("arena_bytes", "flash_bytes"):
            yield Row("search", case, metric, record[metric], "B", note=f"{note}; predicted")
    for strategy in {**{DEFAULT: None}, **STRATEGIES, **VARIANTS}:
        for budget in dict.fromkeys(job.budget for job in done):
            by_seed = _by_seed(done, strategy, budget)
            if by_seed:
                random = _by_seed(done, BASELINE, budget)
                names = [strategy, "default"] if strategy == DEFAULT else [strategy]
                for name in names:
                    yield from _summary(f"proof/{name}/{budget.arena // 1024}", by_seed, random)


def _by_seed(
    done: dict[Job, dict[str, Any]], strategy: str, budget: Budget
) -> dict[int, dict[str, Any]]:
    return {
        job.seed: record
        for job, record in done.items()
        if (job.strategy, job.budget) == (strategy, budget)
    }


def _summary(
    case: str, by_seed: dict[int, dict[str, Any]], random: dict[int, dict[str, Any]]
) -> Iterator[Row]:
    seeds = f"{len(by_seed)} seeds"
    for metric in ("top1", "top1_inherited"):
        mean, half = mean_and_interval([record[metric] for record in by_seed.values()])
        yield Row("search", case, f"{metric}_mean", mean, "", note=seeds)
        if half is not None:
            yield Row("search", case, f"{metric}_ci95", half, "",
                      note=f"{seeds}; half the 95 % interval, Student's t")  # fmt: skip
    yield Row("search", case, "seeds", len(by_seed), "")
    for metric in ("arena_bytes", "flash_bytes"):
        mean, _ = mean_and_interval([record[metric] for record in by_seed.values()])
        yield Row("search", case, metric, mean, "B", note=f"{seeds}; mean, predicted")
    both = sorted(by_seed.keys() & random.keys())
    if both and by_seed is not random and by_seed != random:
        mean, half = mean_and_interval([by_seed[s]["top1"] - random[s]["top1"] for s in both])
        note = f"{len(both)} seeds in pairs, over {BASELINE}"
        yield Row("search", case, "advantage_over_random", mean, "", note=note)
        if half is not None:
            yield Row("search", case, "advantage_ci95", half, "",
                      note=f"{note}; half the 95 % interval, Student's t")  # fmt: skip


def _lacking(todo: Sequence[Job], done: dict[Job, dict[str, Any]]) -> Iterator[Row]:
    missing: dict[str, list[str]] = {}
    for job in todo:
        if job not in done:
            missing.setdefault(job.name, []).append(str(job.seed))
    note = "; ".join(f"{name} seed {', '.join(seeds)}" for name, seeds in missing.items())
    yield Row("search", "proof", "searches_done", len(done), "",
              note=f"of {len(todo)}; {datetime.date.today()}, commit {_commit()}")  # fmt: skip
    yield Row("search", "proof", "searches_lacking", len(todo) - len(done), "",
              note=note or None)  # fmt: skip


def _commit() -> str:
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _told(record: dict[str, Any]) -> str:
    network = json.loads(record["architecture"])
    rank, stem = network["rank_ratio"], network.get("stem", "patch")
    return f"patch {network['patch_size']}, rank {rank}, stem {stem}"
