"""Tuners that score spaces and subnets with trained supernets."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import Trial

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.batches import Batches
from mcuformer_tflm.keras_models.checkpoint import load_weights, save_weights
from mcuformer_tflm.keras_models.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.subnet import Subnet
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training import SupernetTrainer
from mcuformer_tflm.search import space_evolution, subnet_evolution
from mcuformer_tflm.search.hyperparameters import architecture_from_values
from mcuformer_tflm.search.space import SearchSpace

_IDLE_SECONDS = 0.2
Report = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True)
class ScoreSettings:
    """How a space is scored: S = A + eta R (Eq. 2).

    Attributes:
        eta: Weight of R against A.
        accuracy_samples: N_acc, subnets whose mean accuracy is A.
        fit_samples: N_ratio, subnets whose share that fits is R.
        learning_rate: Peak of each step's schedule.
    """

    eta: float = 0.1
    accuracy_samples: int = 50
    fit_samples: int = 500
    learning_rate: float = 2e-3


class SupernetTuner(BaseTuner):
    """Trains and scores the supernets that ``SpaceEvolution`` asks for.

    ``search(train, validation_data=(images, classes))`` as in keras-tuner; ``train`` comes
    from ``batches``, or is a ``tf.data.Dataset`` of one epoch's batches. Each supernet's weights
    are kept under the project's folder and resumed when its space is visited again.

    Args:
        oracle: A ``SpaceEvolution``.
        fits: Whether a network fits the board.
        settings: How a space is scored.
        report: Called with (what is being done, done, total).
        seed: Of the sampled subnets.
        **kwargs: As for keras-tuner's BaseTuner: directory, project_name, overwrite.
    """

    def __init__(
        self,
        oracle: space_evolution.SpaceEvolution,
        fits: Callable[[Architecture], bool],
        settings: ScoreSettings | None = None,
        report: Report | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Makes the tuner, resuming the project's state if there is one."""
        super().__init__(oracle, **kwargs)
        self.fits = fits
        self.settings = settings or ScoreSettings()
        self.report = report
        self.seed = seed

    def run_trial(
        self,
        trial: Trial,
        train: Batches | tf.data.Dataset,
        validation_data: tuple[np.ndarray, np.ndarray],
    ) -> dict[str, float]:
        """Trains one supernet up to the trial's epochs and returns its score and parts."""
        values = trial.hyperparameters.values
        space = self.oracle.space.at(values["patch_size"], values["rank_ratio"])
        supernet, trained = self.load_supernet(space)
        epochs = values["epochs"] - trained
        title = f"patch {values['patch_size']}, rank {values['rank_ratio']}"
        rng = np.random.default_rng([self.seed, values["patch_size"], trained])
        trainer = SupernetTrainer(
            supernet,
            TrainingRecipe(learning_rate=self.settings.learning_rate),
            max(1, epochs) * len(train),
            self.seed,
        )
        trainer.epoch = trained
        for epoch in range(epochs):
            label = f"train supernet {title}, epoch {trained + epoch + 1}"
            trainer.train(train, space, self._progress(label))
        save_weights(supernet, self._checkpoint(space), values["epochs"])
        accuracies = [
            trainer.accuracy(space.sample(rng), *validation_data)
            for _ in range(self.settings.accuracy_samples)
        ]
        fitting = [self.fits(space.sample(rng)) for _ in range(self.settings.fit_samples)]
        accuracy, share = float(np.mean(accuracies)), float(np.mean(fitting))
        return {
            space_evolution.OBJECTIVE: accuracy + self.settings.eta * share,
            "accuracy": accuracy,
            "share_that_fits": share,
        }

    def load_supernet(self, space: SearchSpace) -> tuple[Supernet, int]:
        """Returns the supernet of a space and the epochs that it has been trained for."""
        supernet = Supernet(space.largest())
        path = self._checkpoint(space)
        return supernet, load_weights(supernet, path) if path.exists() else 0

    def load_model(self, trial: Trial) -> Supernet:
        """Returns the supernet of a trial; ``get_best_models`` calls this."""
        values = trial.hyperparameters.values
        space = self.oracle.space.at(values["patch_size"], values["rank_ratio"])
        return self.load_supernet(space)[0]

    def pre_create_trial(self) -> None:
        """Rests a moment: an idle oracle is asked again at once otherwise."""
        if self.oracle.ongoing_trials:
            time.sleep(_IDLE_SECONDS)

    def _checkpoint(self, space: SearchSpace) -> Path:
        name = f"patch{space.patch_size[0]}-rank{space.rank_ratio[0]}.npz"
        return Path(self.project_dir) / "supernets" / name

    def _progress(self, label: str) -> Callable[[int, int], None] | None:
        report = self.report
        return None if report is None else lambda done, total: report(label, done, total)


class SubnetTuner(BaseTuner):
    """Scores the subnets that ``SubnetEvolution`` proposes with a trained supernet's weights.

    Args:
        oracle: A ``SubnetEvolution``.
        supernet: The trained supernet.
        report: Called with (what is being done, done, total).
        **kwargs: As for keras-tuner's BaseTuner.
    """

    def __init__(
        self,
        oracle: subnet_evolution.SubnetEvolution,
        supernet: Supernet,
        report: Report | None = None,
        **kwargs: Any,
    ) -> None:
        """Makes the tuner."""
        super().__init__(oracle, **kwargs)
        self.supernet = supernet
        self.report = report
        self._trainer = SupernetTrainer(supernet)

    def run_trial(
        self, trial: Trial, validation_data: tuple[np.ndarray, np.ndarray]
    ) -> dict[str, float]:
        """Returns the accuracy of one subnet."""
        oracle = self.oracle
        if self.report is not None:
            total = oracle.population * (oracle.generations + 1)
            self.report("subnets scored", len(oracle.start_order), total)
        architecture = architecture_from_values(trial.hyperparameters.values, oracle.space)
        return {subnet_evolution.OBJECTIVE: self._trainer.accuracy(architecture, *validation_data)}

    def load_model(self, trial: Trial) -> Subnet:
        """Returns the subnet of a trial as a model of its own."""
        values = trial.hyperparameters.values
        return self.supernet.extract(architecture_from_values(values, self.oracle.space))
