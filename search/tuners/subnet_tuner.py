"""The tuner that scores subnets with a trained supernet's weights."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from keras_tuner.engine.trial import Trial

from mcuformer_tflm.keras_models.checked_values import checked_type
from mcuformer_tflm.keras_models.subnet import Subnet
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.origin import weights_origin
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.training.trainers import SupernetTrainer
from mcuformer_tflm.search.oracles.hyperparameters import architecture_from_values
from mcuformer_tflm.search.oracles.subnet_oracle import OBJECTIVE, SubnetOracle
from mcuformer_tflm.search.progress import Report
from mcuformer_tflm.search.tuners.fit_arguments import Validation, checked_validation
from mcuformer_tflm.search.tuners.project_origin import keep_project_origin, validation_origin
from mcuformer_tflm.search.tuners.search_tuner import SearchTuner


class SubnetTuner(SearchTuner):
    """Scores the subnets that an oracle proposes.

    ``tuner.search(validation_data=(images, classes))``; no training is done.

    Args:
        oracle: ``SubnetEvolution``, ``RandomSubnets`` or ``GridSubnets``.
        supernet: The trained supernet.
        report: As for ``SearchTuner``.
        **kwargs: ``directory``, ``project_name`` and ``overwrite``, as for keras-tuner.

    Raises:
        ConfigError: If the supernet does not hold every network of the space, or the project is
            another search's, such as one with other weights, or cannot be written.
    """

    title = "subnets scored"

    def __init__(
        self,
        oracle: SubnetOracle,
        supernet: Supernet,
        *,
        report: Report | None = None,
        **kwargs: Any,
    ) -> None:
        """Makes the tuner, resuming the project's state if there is one."""
        checked_type("oracle", oracle, SubnetOracle)
        self.space, self.fit = oracle.space, oracle.fit
        self.supernet = checked_type("supernet", supernet, Supernet)
        for extreme in (oracle.space.smallest(), oracle.space.largest()):
            supernet.encode(extreme)  # refuses what it does not hold
        recipe = TrainingRecipe(precision=supernet.dtype_policy.name)
        self._trainer = SupernetTrainer(supernet, recipe)
        self._weights = weights_origin(supernet)
        super().__init__(oracle, report, **kwargs)

    def search(
        self,
        validation_data: Validation | None = None,
        *,
        verbose: int | str | None = None,
        **others: Any,
    ) -> None:
        """Scores subnets until the oracle stops.

        Args:
            validation_data: float32[n, height, width, channels] in [-1, 1) and int32[n], held
                out of training.
            verbose: As for ``SearchTuner.run_trials``.
            **others: None: what ``SupernetTuner.search`` takes for training is refused.

        Raises:
            DataError: If the data are not those of the space.
            ConfigError: If the project's subnets were scored on other data, or another process
                searches there.
            SearchError: If every trial failed.
            TypeError: If there are other arguments.
        """
        if others:
            raise TypeError(
                f"SubnetTuner.search() takes no {', '.join(others)}: it trains nothing, and scores "
                "subnets with the supernet's weights. Give validation_data=(images, classes) alone."
            )
        data = checked_validation(validation_data, self.space)
        with self.alone():
            self.begin_search(verbose)
            keep_project_origin(self.project_dir, {"validation": validation_origin(data)})
            self.run_trials(validation_data=data, verbose=verbose)

    def measure(
        self, trial: Trial, report: Report, validation_data: Validation
    ) -> dict[str, float]:
        """Returns the accuracy of one subnet, and its predicted memory and flash in bytes."""
        architecture = architecture_from_values(trial.hyperparameters.values, self.space)
        results = {
            OBJECTIVE: self._trainer.accuracy(architecture, *validation_data),
            "memory_bytes": float(self.fit.memory_bytes(architecture)),
            "flash_bytes": float(self.fit.flash_bytes(architecture)),
        }
        with self.summaries("subnets").as_default():
            for name, value in results.items():
                tf.summary.scalar(name, value, step=int(trial.trial_id))
        return results

    def load_model(self, trial: Trial) -> Subnet:
        """Returns the subnet of a trial as a model of its own."""
        values = trial.hyperparameters.values
        return self.supernet.extract(architecture_from_values(values, self.space))

    def news(self) -> tuple[int, str]:
        """Returns how many trials there will be at most, and the best subnet so far."""
        oracle = self.local_oracle
        info = str(self.fit.budget)
        best = oracle.get_best_trials(1)
        if best and best[0].score is not None:
            architecture = architecture_from_values(best[0].hyperparameters.values, self.space)
            info = (
                f"best: accuracy {best[0].score:.3f}, "
                f"{self.fit.memory_bytes(architecture):,} of {self.fit.budget.sram:,} bytes"
            )
        return oracle.total, info

    def configuration(self) -> dict[str, Any]:
        """Returns the arguments that a resumed search must share."""
        return {"weights": self._weights}
