"""What our tuners share: errors that stop, signs of life, progress, logs, whole files."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import Trial
from keras_tuner.errors import FatalError

from mcuformer_tflm.keras_models.batches import check_classes
from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError, McuformerError
from mcuformer_tflm.keras_models.images import check_images
from mcuformer_tflm.search.progress import Report, progress_bars
from mcuformer_tflm.search.resumable_oracle import (
    ResumableOracle,
    check_same_search,
    write_whole,
)
from mcuformer_tflm.search.space import SearchSpace

_IDLE_SECONDS = 0.5
# Several signs of life within an oracle's worker_timeout, so that one may come late.
_SIGNS_OF_LIFE = 6

Validation = tuple[np.ndarray, np.ndarray]


class _StopError(FatalError):
    """Carries an error of ours through keras-tuner, which would go on after any other."""


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

    def __init__(
        self,
        oracle: ResumableOracle,
        report: Report | None = None,
        *,
        directory: str | Path = ".",
        project_name: str = "search",
        overwrite: bool = False,
    ) -> None:
        """Makes the tuner, resuming the project's state if there is one."""
        self.local_oracle = oracle  # in a worker, self.oracle only speaks to the chief's
        self._report = report
        self._idle = False
        self._summaries: dict[str, tf.summary.SummaryWriter] = {}
        if overwrite and self._is_worker():
            raise ConfigError(
                "overwrite is True in a worker, which would remove the chief's project; pass it "
                "to the chief alone, or remove the folder before all are started."
            )
        write_whole(Path(directory) / project_name / ".writable", "")
        super().__init__(
            oracle, directory=str(directory), project_name=project_name, overwrite=overwrite
        )
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

    def search(self, *args: Any, **kwargs: Any) -> None:
        """Runs trials until the oracle stops, going on where an interrupted search was.

        Args:
            *args: As for ``measure``.
            **kwargs: As for ``measure``.

        Raises:
            McuformerError: If a trial meets bad input, or a loss that is no number.
        """
        try:
            with contextlib.ExitStack() as stack:
                if self._report is None:
                    report = stack.enter_context(progress_bars())
                else:
                    report = self._report
                super().search(*args, report=report, **kwargs)
                if not self._is_worker():
                    self._tell(report, done=True)
        except _StopError as stop:
            raise (stop.__cause__ or stop) from None

    def run_trial(
        self, trial: Trial, *args: Any, report: Report, **kwargs: Any
    ) -> dict[str, float]:
        """Runs a trial; an error of ours ends the search, which keras-tuner's would survive."""
        kwargs.pop("verbose", None)  # keras-tuner has heeded it
        if not self._is_worker():
            self._tell(report)
        try:
            with self._signs_of_life(trial.trial_id):
                return self.measure(trial, report, *args, **kwargs)
        except McuformerError as error:
            raise _StopError from error

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
        write_whole(Path(self._get_tuner_fname()), json.dumps(self.get_state()))

    def summaries(self, name: str) -> tf.summary.SummaryWriter:
        """Returns a writer of TensorBoard logs in the project's folder ``logs``."""
        if name not in self._summaries:
            folder = os.path.join(self.project_dir, "logs", name)
            self._summaries[name] = tf.summary.create_file_writer(folder)
        return self._summaries[name]

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


def check_validation(validation_data: Validation, space: SearchSpace) -> None:
    """Checks that validation images and classes are those of a space.

    Raises:
        DataError: If they are not.
    """
    images, classes = validation_data
    check_images(images, space.image_shape, "validation images")
    if len(images) != len(classes):
        raise DataError(f"There are {len(images)} validation images, but {len(classes)} classes.")
    check_classes(classes, space.num_classes)
