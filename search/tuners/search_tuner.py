"""What our tuners share: failures, errors that stop, signs of life, progress, logs, whole files."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.errors import FailedTrialError

from mcuformer_tflm.keras_models.checked_values import (
    AnyPath,
    checked_bool,
    checked_choice,
    checked_path,
    checked_type,
    shown,
)
from mcuformer_tflm.keras_models.exceptions import ConfigError, DivergedError
from mcuformer_tflm.keras_models.folder_lock import locked
from mcuformer_tflm.keras_models.whole_file import write_whole
from mcuformer_tflm.search.oracles.resumable_oracle import (
    ResumableOracle,
    check_same_search,
    write_changed,
)
from mcuformer_tflm.search.progress import Report, progress_bars, tell
from mcuformer_tflm.search.tuners.hparams import write_hparams
from mcuformer_tflm.search.tuners.patient_worker import PatientStub

_VERBOSE = (0, 1, 2, "auto", False, True)
_IDLE_SECONDS = 0.5
# Several signs of life within an oracle's worker_timeout, so that one may come late.
_SIGNS_OF_LIFE = 6

# What says something of one trial only. Any other error would be met by the next one too.
_FAILURES = (DivergedError, FailedTrialError, MemoryError, tf.errors.ResourceExhaustedError)


class SearchTuner(BaseTuner):
    """A keras-tuner tuner whose search a kill at any moment leaves ready to go on.

    Subclasses run trials in ``measure`` and say in ``title`` what these are.

    Args:
        oracle: Decides; each project has its own.
        report: Called with (what is being done, done, total, what came out); by default bars
            on the terminal.
        directory: Folder of projects.
        project_name: Folder in it, which holds everything that the search writes.
        overwrite: Starts anew where there is such a project; otherwise it is gone on with.

    Raises:
        ConfigError: If the project is another search's, or cannot be written.
    """

    title: str
    # As of a ``ResumableOracle``, where no workers share it: a trial may not be handed out twice.
    save_seconds = 0.0

    def __init__(
        self,
        oracle: ResumableOracle,
        report: Report | None = None,
        *,
        directory: AnyPath = ".",
        project_name: str = "search",
        overwrite: bool = False,
    ) -> None:
        """Makes the tuner, resuming the project's state if there is one."""
        if report is not None and not callable(report):
            raise ConfigError(f"report is {shown(report)}; it must be a function, as Report.")
        if not checked_type("project_name", project_name, str):
            raise ConfigError("project_name is ''; it must be the name of a folder.")
        overwrite = checked_bool("overwrite", overwrite)
        self.local_oracle = oracle  # in a worker, self.oracle only speaks to the chief's
        self._report = report
        self._idle = False
        self._summaries: dict[str, tf.summary.SummaryWriter] = {}
        if overwrite and self._is_worker():
            raise ConfigError(
                "overwrite is True in a worker, which would remove the chief's project; pass it "
                "to the chief alone, or remove the folder before all are started."
            )
        directory = checked_path("directory", directory)
        write_whole(directory / project_name / ".writable", "")
        super().__init__(
            oracle, directory=str(directory), project_name=project_name, overwrite=overwrite
        )
        # keras-tuner's name for where the chief is.
        oracle.save_seconds = 0.0 if "KERASTUNER_ORACLE_IP" in os.environ else self.save_seconds
        if self._is_worker():
            self.oracle.stub = PatientStub(self.oracle.stub)
        oracle.verbose = 0  # the bars tell more; search(verbose=1) asks for keras-tuner's tables

    def configuration(self) -> dict[str, Any]:
        """Returns the arguments that a resumed search must share, ready for JSON."""
        raise NotImplementedError

    def measure(self, trial: Trial, report: Report, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Runs a trial and returns its metrics, the objective among them."""
        raise NotImplementedError

    def news(self) -> tuple[int, str]:
        """Returns how many trials there will be, and in words the best so far."""
        raise NotImplementedError

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other searches out of the project meanwhile; a chief's workers are none.

        Raises:
            ConfigError: If another process searches there.
        """
        with contextlib.nullcontext() if self._is_worker() else locked(self.project_dir):
            yield

    def begin_search(self, verbose: int | str | None = None) -> None:
        """Goes on from what is on disk, and lets what was given up be tried again.

        Args:
            verbose: As for ``run_trials``.

        Raises:
            ConfigError: If ``verbose`` is none of its values.
        """
        if verbose is not None:
            checked_choice("verbose", verbose, _VERBOSE)
        if not self._is_worker():
            self.local_oracle.begin_search()

    def run_trials(self, *, verbose: int | str | None = None, **arguments: Any) -> None:
        """Runs trials until the oracle stops, going on where an interrupted search was.

        A trial fails where its loss is no number, memory runs out, or it raises
        ``keras_tuner.errors.FailedTrialError``; the search goes on without it, and the next one
        tries it again. Any other error is raised at once, and its trial counts as never run.

        Args:
            verbose: 0 shows nothing, 1 keras-tuner's tables beside the bars, None the bars alone.
            **arguments: As for ``measure``.

        Raises:
            SearchError: If every trial failed; DivergedError where each did with a loss that is
                no number.
        """
        with contextlib.ExitStack() as stack:
            report = self._report
            if report is None:
                report = _nothing if verbose == 0 else stack.enter_context(progress_bars())
            if (place := os.environ.get("KERASTUNER_ORACLE_IP")) and not self._is_worker():
                tell(
                    f"The chief listens on {place}, port "
                    f"{os.environ['KERASTUNER_ORACLE_PORT']}, and nowhere else, unencrypted and "
                    "without a password: whoever reaches it may take part in the search."
                )
            try:
                super().search(report=report, verbose=verbose or 0, **arguments)
            finally:
                if not self._is_worker():
                    self.local_oracle.flush()
            if not self._is_worker():
                self._tell(report, done=True)
        if not self._is_worker():
            self.local_oracle.require_success()

    def run_trial(
        self, trial: Trial, *, report: Report, verbose: int | str, **arguments: Any
    ) -> dict[str, float]:
        """Runs a trial; keras-tuner has heeded ``verbose``."""
        if not self._is_worker():
            self._tell(report)
        with self._signs_of_life(trial.trial_id):
            return self.measure(trial, report, **arguments)

    def _try_run_and_update_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> None:
        """Runs a trial, and survives its own failures; keras-tuner's survives any error."""
        try:
            self._run_and_update_trial(trial, *args, **kwargs)
            trial.status = TrialStatus.COMPLETED
        except _FAILURES as error:
            trial.status = TrialStatus.FAILED
            trial.message = f"{type(error).__name__}: {error}"
        except BaseException:
            if self._is_worker():
                trial.status = TrialStatus.INVALID
                with contextlib.suppress(Exception):  # the first error is the one to tell
                    self.oracle.end_trial(trial)
            raise

    def pre_create_trial(self) -> None:
        """Rests a moment where the oracle had nothing to do: it is asked again at once."""
        if self._idle:
            time.sleep(_IDLE_SECONDS)
        self._idle = True

    def on_trial_begin(self, trial: Trial) -> None:
        """Notes that there was something to do."""
        self._idle = False

    def on_search_begin(self) -> None:
        """Writes the state, so that a search killed in its first trial is found again."""
        self.save()

    def get_state(self) -> dict[str, Any]:
        """Returns what identifies the search."""
        return {"configuration": self.configuration()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Checks that a project is of this search.

        Raises:
            ConfigError: If it is another's.
        """
        there = state.get("configuration", {})
        check_same_search(there, self.configuration(), self.project_dir)

    def save(self) -> None:
        """Writes the tuner's and, unless a chief has it, the oracle's state."""
        if not self._is_worker():
            self.oracle.save()
        write_changed(Path(self._get_tuner_fname()), json.dumps(self.get_state()))

    def summaries(self, name: str) -> tf.summary.SummaryWriter:
        """Returns a writer of TensorBoard logs in the project's folder ``logs``."""
        if name not in self._summaries:
            folder = os.path.join(self.project_dir, "logs", name)
            self._summaries[name] = tf.summary.create_file_writer(folder)
        return self._summaries[name]

    def trial_summaries(self, trial: Trial) -> tf.summary.SummaryWriter:
        """Returns ``summaries`` of a trial, with its values for TensorBoard's HParams."""
        known = trial.trial_id in self._summaries
        writer = self.summaries(trial.trial_id)
        if not known:
            write_hparams(writer, trial.hyperparameters.values, trial.trial_id)
        return writer

    def _tell(self, report: Report, done: bool = False) -> None:
        ended = len(self.local_oracle.end_order)
        total, info = self.news()
        report(self.title, ended, max(ended, 1) if done else total, info)

    @contextlib.contextmanager
    def _signs_of_life(self, trial_id: str) -> Iterator[None]:
        if not self._is_worker():
            yield
            return
        over = threading.Event()
        pause = self.local_oracle.worker_timeout / _SIGNS_OF_LIFE

        def speak() -> None:
            while not over.wait(pause):
                # A chief that is being restarted misses some; the next one reaches it.
                with contextlib.suppress(Exception):
                    self.oracle.get_trial(trial_id)

        speaker = threading.Thread(target=speak, daemon=True)
        speaker.start()
        try:
            yield
        finally:
            over.set()
            speaker.join()


def _nothing(label: str, done: int, total: int, info: str = "") -> None:
    """Shows no progress."""
