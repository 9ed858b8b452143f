"""The score of a space, S = A + eta R (Eq. 2), and of a subnet as integers."""

from __future__ import annotations

import dataclasses

import numpy as np

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import checked_real, checked_whole
from mcuformer_tflm.keras_models.images import to_floats
from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.trainers import Subnets, SupernetTrainer, share_right
from mcuformer_tflm.search.cost.fit import Fit
from mcuformer_tflm.search.space import SearchSpace

_CALIBRATED_AT_ONCE = 128


@dataclasses.dataclass(frozen=True)
class ScoreSettings:
    """How a space is scored.

    Attributes:
        eta: Weight of R against A; the paper does not give it.
        accuracy_samples: N_acc, subnets whose mean accuracy is A.
        fit_samples: N_ratio, subnets whose share that fits is R.
    """

    eta: float = 0.1
    accuracy_samples: int = 50
    _: dataclasses.KW_ONLY
    fit_samples: int = 500

    def __post_init__(self) -> None:
        """Checks every field.

        Raises:
            ConfigError: If one is out of range.
        """
        object.__setattr__(self, "eta", checked_real("eta", self.eta, open_above=True))
        for field in ("accuracy_samples", "fit_samples"):
            object.__setattr__(self, field, checked_whole(field, getattr(self, field)))


def fitting_share(
    space: SearchSpace, fit: Fit, samples: int, seed: list[int]
) -> tuple[float, float]:
    """Returns R, and the median margin to the budget, over sampled subnets.

    R is 0 or 1 over wide stretches of a space, where it tells nothing of the direction; the
    median of ``Fit.margin`` still does.

    Args:
        space: Of one supernet.
        fit: The budget.
        samples: How many.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    margins = [fit.margin(space.sample(rng)) for _ in range(samples)]
    return float(np.mean(np.asarray(margins) >= 0)), float(np.median(margins))


def mean_accuracy(
    trainer: SupernetTrainer,
    subnets: Subnets,
    samples: int,
    validation_data: tuple[np.ndarray, np.ndarray],
    seed: list[int],
) -> float:
    """Returns A: the mean accuracy of sampled subnets with the supernet's weights."""
    rng = np.random.default_rng(seed)
    return float(
        np.mean([trainer.accuracy(subnets.sample(rng), *validation_data) for _ in range(samples)])
    )


def quantized_accuracy(
    supernet: Supernet,
    architecture: Architecture,
    config: QuantizationConfig,
    validation_data: tuple[np.ndarray, np.ndarray],
    *,
    calibration_images: int,
) -> float:
    """Returns a subnet's accuracy once it is quantized: ranges calibrated, nothing trained.

    Args:
        supernet: Whose weights it has.
        architecture: The subnet.
        config: How it is quantized.
        validation_data: Images and classes.
        calibration_images: How many of the images set the ranges, spread evenly over all.

    Raises:
        DataError: If a tensor holds values that are no numbers.
    """
    images, classes = validation_data
    count = min(calibration_images, len(images))
    chosen = to_floats(images[np.linspace(0, len(images) - 1, count).astype(int)])
    batches = [chosen[at : at + _CALIBRATED_AT_ONCE] for at in range(0, count, _CALIBRATED_AT_ONCE)]
    quantized = supernet.extract(architecture).quantized_copy(batches, config)
    return share_right(lambda part: quantized(part, training=False), images, classes)
