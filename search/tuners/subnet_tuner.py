"""The tuner that scores subnets with a trained supernet's weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import tensorflow as tf
from keras_tuner.engine.trial import Trial

from mcuformer_tflm.keras_models.checked_values import checked_type, checked_whole
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
from mcuformer_tflm.keras_models.subnet import Subnet
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.origin import weights_origin
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.training.trainers import SupernetTrainer
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.oracles.hyperparameters import architecture_from_values
from mcuformer_tflm.search.oracles.subnet_oracle import OBJECTIVE, SubnetOracle
from mcuformer_tflm.search.progress import Report
from mcuformer_tflm.search.tuners.fit_arguments import Validation, checked_validation
from mcuformer_tflm.search.tuners.hparams import write_hparams
from mcuformer_tflm.search.tuners.project_origin import keep_project_origin, validation_origin
from mcuformer_tflm.search.tuners.scoring import quantized_accuracy
from mcuformer_tflm.search.tuners.search_tuner import SearchTuner


class SubnetTuner(SearchTuner):
    """Scores the subnets that an oracle proposes.

    ``tuner.search(validation_data=(images, classes))``; no training is done.

    Args:
        oracle: ``SubnetEvolution``, ``RandomSubnets`` or ``GridSubnets``.
        supernet: The trained supernet.
        quantization: How subnets are quantized to be scored, of the budget's widths: each is
            extracted, its ranges are calibrated, nothing is trained, and its accuracy is the
            integers'. None scores them in floating point, which is many times as fast.
        calibration_images: How many of the validation images set the ranges, spread evenly.
        report: As for ``SearchTuner``.
        **kwargs: ``directory``, ``project_name`` and ``overwrite``, as for keras-tuner.

    Raises:
        ConfigError: If the supernet does not hold every network of the space, the quantization is
            not the budget's, or the project is another search's, such as one with other weights, or
            cannot be written.
    """

    title = "subnets scored"
    save_seconds = 1.0

    def __init__(
        self,
        oracle: SubnetOracle,
        supernet: Supernet,
        *,
        quantization: QuantizationConfig | None = None,
        calibration_images: int = 256,
        report: Report | None = None,
        **kwargs: Any,
    ) -> None:
        """Makes the tuner, resuming the project's state if there is one."""
        checked_type("oracle", oracle, SubnetOracle)
        self.space, self.fit = oracle.space, oracle.fit
        self.supernet = checked_type("supernet", supernet, Supernet)
        for extreme in (oracle.space.smallest(), oracle.space.largest()):
            supernet.encode(extreme)  # refuses what it does not hold
        if quantization is not None:
            check_widths(quantization, oracle.fit.budget)
        self.quantization = quantization
        self.calibration_images = checked_whole("calibration_images", calibration_images)
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
        """Returns the accuracy of one subnet and its predicted costs.

        Returns:
            ``accuracy``, which is that of the integers where there is a ``quantization``, and
            ``float_accuracy`` beside it; ``memory_bytes``, ``flash_bytes``, and ``milliseconds``
            where the budget's board tells them.
        """
        architecture = architecture_from_values(trial.hyperparameters.values, self.space)
        results = {OBJECTIVE: self._trainer.accuracy(architecture, *validation_data)}
        if self.quantization is not None:
            results = {
                OBJECTIVE: quantized_accuracy(
                    self.supernet, architecture, self.quantization, validation_data,
                    calibration_images=self.calibration_images,
                ),
                "float_accuracy": results[OBJECTIVE],
            }  # fmt: skip
        results["memory_bytes"] = float(self.fit.memory_bytes(architecture))
        results["flash_bytes"] = float(self.fit.flash_bytes(architecture))
        time = self.fit.milliseconds(architecture)
        if time is not None:
            results["milliseconds"] = time
        with self.summaries("subnets").as_default():
            for name, value in results.items():
                tf.summary.scalar(name, value, step=int(trial.trial_id))
        self._log_trial(trial, results)
        return results

    def _log_trial(self, trial: Trial, results: dict[str, float]) -> None:
        # HParams want a folder for each trial; one is open at a time, of hundreds.
        folder = Path(self.project_dir) / "logs" / "subnets" / trial.trial_id
        writer = tf.summary.create_file_writer(str(folder))
        write_hparams(writer, trial.hyperparameters.values, trial.trial_id)
        with writer.as_default():
            for name, value in results.items():
                tf.summary.scalar(name, value, step=0)
        writer.close()

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
            kind = "accuracy" if self.quantization is None else "quantized accuracy"
            info = (
                f"best: {kind} {best[0].score:.3f}, "
                f"{self.fit.memory_bytes(architecture):,} of {self.fit.budget.sram:,} bytes"
            )
        return oracle.total, info

    def configuration(self) -> dict[str, Any]:
        """Returns the arguments that a resumed search must share."""
        quantized = self.quantization is not None
        return {
            "weights": self._weights,
            "quantization": dataclasses.asdict(self.quantization) if self.quantization else None,
            "calibration_images": self.calibration_images if quantized else None,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Checks that a project is of this search; older ones were scored in floating point."""
        before: dict[str, Any] = {"quantization": None, "calibration_images": None}
        told = before | state.get("configuration", {})
        super().set_state({**state, "configuration": told})


def check_widths(quantization: QuantizationConfig, budget: Budget) -> None:
    """Checks that subnets are scored as those whose bytes are held against a budget.

    Raises:
        ConfigError: If their integers are others.
    """
    checked_type("quantization", quantization, QuantizationConfig)
    for field in ("weight_bits", "residual_bits", "layer_norm_iterations"):
        here, there = getattr(quantization, field), getattr(budget.quantization, field)
        if here != there:
            raise ConfigError(
                f"quantization has {field} {here}, but the oracle's budget counts the bytes of "
                f"networks of {there}; give the same quantization to both."
            )
