"""What our oracles add to keras-tuner's: whole state files, and trials that outlive workers."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path, checked_real
from mcuformer_tflm.keras_models.exceptions import (
    ConfigError,
    DivergedError,
    McuformerError,
    SearchError,
)
from mcuformer_tflm.keras_models.training.origin import differences
from mcuformer_tflm.keras_models.whole_file import write_whole
from mcuformer_tflm.search.progress import tell

START_ANEW = "Remove {}, choose another project_name, or give overwrite=True to start anew."
_REASONS_TOLD = 3


class ResumableOracle(keras_tuner.Oracle):
    """An oracle that a kill at any moment leaves whole.

    How:
      - ``oracle.json`` is the truth. It is replaced once at the end of ``create_trial`` and of
        ``end_trial``, never half way through either.
      - Trials have files of their own, written before. On reload those that ``oracle.json``
        does not know are dropped, and those that it knows as unfinished run again.
      - Where trials are short, ``save_seconds`` lets it be replaced less often: a kill then goes
        back to the last time, and what followed is decided and measured again, alike.
      - A worker that has not been heard of for ``worker_timeout`` seconds is taken for dead:
        its trial goes to the next worker that asks. ``get_trial`` is the sign of life, since
        it is a call that keras-tuner's protocol has.

    Subclasses decide in ``populate_space`` and ``trial_ended``, keep their state in
    ``decisions`` and ``set_decisions``, and describe their arguments in ``configuration``.

    Args:
        objective: Name of the metric to maximise.
        hyperparameters: What trials carry.
        seed: Of the oracle.
        worker_timeout: Seconds of silence after which a worker's trial is handed out again.
        clock: Seconds; for tests.

    Attributes:
        save_seconds: Least time between two writes, unless ``flush`` asks for one.
    """

    trials: dict[str, Trial]
    save_seconds = 0.0

    def __init__(
        self,
        objective: str,
        hyperparameters: keras_tuner.HyperParameters,
        seed: int,
        *,
        worker_timeout: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Makes an oracle without trials."""
        self.worker_timeout = checked_real("worker_timeout", worker_timeout, open_below=True)
        super().__init__(
            objective=keras_tuner.Objective(objective, "max"),
            hyperparameters=hyperparameters,
            seed=seed + 1,  # 0 would mean a random one
        )
        self._clock = clock
        self._heard: dict[str, float] = {}
        self._in_step = False
        self._unsaved: dict[str, Trial] = {}
        self._saved_at: float | None = None
        self._ended_before = 0

    def configuration(self) -> dict[str, Any]:
        """Returns the arguments that a resumed search must share, ready for JSON."""
        raise NotImplementedError

    def decisions(self) -> dict[str, Any]:
        """Returns what the next answer depends on, ready for JSON."""
        raise NotImplementedError

    def set_decisions(self, decisions: dict[str, Any]) -> None:
        """Continues from ``decisions``."""
        raise NotImplementedError

    def trial_ended(self, trial: Trial) -> None:
        """Takes in a trial that is ``COMPLETED``, with a score, or ``FAILED`` for good."""
        raise NotImplementedError

    def forget_failures(self) -> None:
        """Lets what was given up be proposed again."""
        raise NotImplementedError

    def begin_search(self) -> None:
        """Goes on from what is on disk, and lets what was given up be tried again."""
        if Path(self._get_oracle_fname()).exists():
            self.reload()
        self._ended_before = len(self.end_order)
        self.forget_failures()

    def require_success(self) -> None:
        """Checks that some trial since ``begin_search`` did not fail, if there was any.

        Where others have been completed before, what failed then may fail again.

        Raises:
            SearchError: If all failed; DivergedError where each did with such an error.
        """
        ended = [self.trials[name] for name in self.end_order]
        before, now = ended[: self._ended_before], ended[self._ended_before :]
        if not now or any(trial.status == TrialStatus.COMPLETED for trial in now):
            return
        known = [trial.hyperparameters.values for trial in before
                 if trial.status == TrialStatus.FAILED]  # fmt: skip
        if any(trial.status == TrialStatus.COMPLETED for trial in before) and all(
            trial.hyperparameters.values in known for trial in now
        ):
            return
        reasons = dict.fromkeys(map(failure, now))
        told = " ".join(list(reasons)[:_REASONS_TOLD])
        more = f" {len(reasons) - _REASONS_TOLD} more." if len(reasons) > _REASONS_TOLD else ""
        diverged = all(reason.startswith(DivergedError.__name__) for reason in reasons)
        raise (DivergedError if diverged else SearchError)(
            f"Every trial of this search failed, {len(now)} in all: {told}{more} Nothing is lost: "
            "the next search tries them again."
        )

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        """Hands out a trial; first one whose worker has fallen silent."""
        self._take_back_from_silent_workers(tuner_id)
        with self._step():
            trial = super().create_trial(tuner_id)
            self._heard[trial.trial_id] = self._clock()
            if trial.trial_id in self.trials and trial.trial_id not in self._display.trial_start:
                self._display.on_trial_begin(trial)  # of one that a search without tables began
        return trial

    @keras_tuner.synchronized
    def end_trial(self, trial: Trial) -> None:
        """Takes in a trial's result, once, whoever brings it.

        ``INVALID`` is what a worker brings that stops at an error of the program: the trial is no
        failure, and waits for the next worker.
        """
        holders = [tuner_id for tuner_id, held in self.ongoing_trials.items()
                   if held.trial_id == trial.trial_id]  # fmt: skip
        if trial.trial_id in self.end_order:
            # A worker that was taken for dead, and whose trial another has finished.
            for tuner_id in holders:
                del self.ongoing_trials[tuner_id]
            return
        with self._step():
            if trial.status == TrialStatus.INVALID:
                for tuner_id in holders:
                    tell(
                        f"Worker {tuner_id} stopped at an error, which it tells; its trial "
                        f"{trial.trial_id} waits for the next worker."
                    )
                    self._take_back(tuner_id)
                return
            if trial.trial_id in self._retry_queue:
                self._retry_queue.remove(trial.trial_id)
            super().end_trial(trial)
            if trial.trial_id not in self._retry_queue:
                self.trial_ended(self.trials[trial.trial_id])

    def get_trial(self, trial_id: str) -> Trial:
        """Returns a trial, and notes that its worker lives."""
        self._heard[trial_id] = self._clock()
        return super().get_trial(trial_id)

    def save(self) -> None:
        """Writes trials and ``oracle.json``, but not within a step, nor when just written."""
        if self._in_step:
            return
        now = self._clock()
        if self._saved_at is None or now - self._saved_at >= self.save_seconds:
            self.flush()
            self._saved_at = now

    def flush(self) -> None:
        """Writes trials and ``oracle.json``."""
        for trial in self._unsaved.values():
            path = Path(self._get_trial_dir(trial.trial_id)) / "trial.json"
            write_whole(path, json.dumps(trial.get_state()))
        self._unsaved = {}
        write_changed(Path(self._get_oracle_fname()), json.dumps(self.get_state()))

    def reload(self) -> None:
        """Goes on from ``oracle.json``; trials that it does not hold as ended run again.

        Raises:
            ConfigError: If the project is that of another search, or a file of it is damaged.
        """
        try:
            super().reload()
            self._unsaved = {}
            self.trials = {name: self.trials[name] for name in self.start_order}
            for name in set(self.start_order) - set(self.end_order):
                self._forget_result(name)
        except McuformerError:
            raise
        except Exception as error:  # keras-tuner's, and what its parts say to such values
            raise ConfigError(
                f"The project in {self._project_dir} is damaged ({type(error).__name__}: {error}). "
                + START_ANEW.format(self._project_dir)
            ) from error

    def get_state(self) -> dict[str, Any]:
        """Returns everything that the next answer depends on, ready for JSON."""
        return {
            **super().get_state(),
            "configuration": self.configuration(),
            "decisions": self.decisions(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues from ``get_state``.

        Raises:
            ConfigError: If the state is that of another search.
        """
        check_same_search(state["configuration"], self.configuration(), self._project_dir)
        super().set_state(state)
        self.set_decisions(state["decisions"])

    @contextlib.contextmanager
    def _step(self) -> Iterator[None]:
        self._in_step = True
        try:
            yield
        finally:
            self._in_step = False
        self.save()

    def _save_trial(self, trial: Trial) -> None:
        self._unsaved[trial.trial_id] = trial

    def _take_back_from_silent_workers(self, asking: str) -> None:
        now = self._clock()
        for tuner_id, trial in list(self.ongoing_trials.items()):
            heard = self._heard.setdefault(trial.trial_id, now)
            if tuner_id != asking and now - heard > self.worker_timeout:
                tell(
                    f"Worker {tuner_id} has been silent for {now - heard:.0f} s; its trial "
                    f"{trial.trial_id} is handed out again."
                )
                self._take_back(tuner_id)

    def _take_back(self, tuner_id: str) -> None:
        trial_id = self.ongoing_trials.pop(tuner_id).trial_id
        self.tuner_ids.discard(tuner_id)
        self._forget_result(trial_id)
        self._retry_queue.append(trial_id)

    def _check_consecutive_failures(self) -> None:
        """Does nothing: what fails is left out, and ``require_success`` tells of all failures.

        keras-tuner's raises in the middle of ``end_trial``, and the trial never ends.
        """

    def _forget_result(self, trial_id: str) -> None:
        values = self.trials[trial_id].hyperparameters
        self.trials[trial_id] = Trial(values, trial_id, TrialStatus.RUNNING)


def failure(trial: Trial) -> str:
    """Returns why a trial failed, in one sentence."""
    if trial.message:
        return trial.message if trial.message.endswith(".") else f"{trial.message}."
    if trial.score is not None:  # keras-tuner's verdict
        return "Its score is no number."
    return "The worker that ran it tells why."


def check_same_search(there: dict[str, Any], here: dict[str, Any], project: str) -> None:
    """Compares the arguments of a saved search with those of this one.

    Raises:
        ConfigError: If they differ; names the arguments that do.
    """
    different = differences(there, here)
    if different:
        raise ConfigError(
            f"The project in {project} belongs to another search: {'; '.join(different)}. "
            + START_ANEW.format(project)
        )


def write_changed(path: AnyPath, text: str) -> None:
    """As ``write_whole``, unless the file holds that text already: to flush it costs milliseconds.

    Raises:
        ConfigError: If the folder cannot be written to.
    """
    path = checked_path("path", path)
    with contextlib.suppress(OSError, ValueError):
        if path.read_text(encoding="utf-8") == text:
            return
    write_whole(path, text)
