"""How a network is trained."""

from __future__ import annotations

import dataclasses
import math
from typing import get_args

from mcuformer_tflm.keras_models.checked_values import checked_choice, checked_real, checked_whole
from mcuformer_tflm.keras_models.precision import Precision

_AUGMENTATION = (
    "crop_padding", "flip_probability", "rand_augment_operations", "rand_augment_magnitude",
    "rand_augment_std", "erasing_probability", "mixup_alpha",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class TrainingRecipe:
    """The options of training; the defaults suit short runs on small images.

    Attributes:
        learning_rate: Peak of the schedule: linear warm-up, then a cosine.
        final_learning_rate: Where the cosine ends, as a share of the peak.
        warmup_share: Share of all steps that the warm-up takes.
        weight_decay: Of AdamW.
        beta_2: Of AdamW.
        clip_norm: Largest norm of all gradients together; None leaves them as they are.
        label_smoothing: Share of the wanted probability spread over all classes.
        ema_decay: Decay a step of the weights' moving average; None keeps no average.
        sandwich_random: None trains one random subnet a step. A number trains the largest,
            the smallest and so many random ones, and applies the mean of their gradients.
        distillation_weight: Share of the loss that follows a teacher's probabilities: those of
            the teacher model where one is given, of the sandwich's largest subnet otherwise.
        distillation_temperature: Divides the logits of both before they are compared.
        precision: The supernet's; see ``Supernet``.
        crop_padding: Pixels by which an image is moved at most, in each direction.
        flip_probability: Share of the images that are mirrored left to right.
        rand_augment_operations: Operations of RandAugment on each image.
        rand_augment_magnitude: Their mean strength, 0 to 10.
        rand_augment_std: Standard deviation of the strength.
        erasing_probability: Share of the images that lose a random rectangle.
        mixup_alpha: Images, and their labels, are blended in pairs, with shares drawn from
            Beta(alpha, alpha); 0 leaves them alone.
    """

    learning_rate: float = 2e-3
    final_learning_rate: float = 0.0
    _: dataclasses.KW_ONLY
    warmup_share: float = 0.1
    weight_decay: float = 0.02
    beta_2: float = 0.98
    clip_norm: float | None = 1.0
    label_smoothing: float = 0.05
    ema_decay: float | None = None
    sandwich_random: int | None = None
    distillation_weight: float = 0.0
    distillation_temperature: float = 1.0
    precision: Precision = "float32"
    crop_padding: int = 0
    flip_probability: float = 0.0
    rand_augment_operations: int = 0
    rand_augment_magnitude: float = 9.0
    rand_augment_std: float = 0.5
    erasing_probability: float = 0.0
    mixup_alpha: float = 0.0

    @classmethod
    def imagenet(cls) -> TrainingRecipe:
        """Returns the paper's recipe (B.3): AutoFormer's, with DeiT's augmentation.

        For batches of 1024 images; AutoFormer trains 500 epochs, 20 of them warm-up, the paper
        30 epochs for each step of a space. Random crops of 240 pixels from 256 are the data
        loader's. Neither stochastic depth nor repeated augmentation is part of it.
        """
        return cls(
            learning_rate=1e-3,
            final_learning_rate=0.01,
            warmup_share=20 / 500,
            weight_decay=0.05,
            beta_2=0.999,
            clip_norm=None,
            label_smoothing=0.1,
            flip_probability=0.5,
            rand_augment_operations=2,
            erasing_probability=0.25,
            mixup_alpha=0.8,
        )

    @property
    def augmentation(self) -> dict[str, float]:
        """The fields that say how images are changed, by name."""
        return {field: getattr(self, field) for field in _AUGMENTATION}

    @property
    def augments_images(self) -> bool:
        """Whether images are changed one by one, before they are joined to batches."""
        return bool(
            self.crop_padding
            or self.flip_probability
            or self.rand_augment_operations
            or self.erasing_probability
        )

    def __post_init__(self) -> None:
        """Checks every field.

        Raises:
            ConfigError: If a field is out of range.
        """
        self._check("learning_rate", 0, math.inf, open_above=True)
        for field in ("final_learning_rate", "distillation_weight", "flip_probability",
                      "erasing_probability"):  # fmt: skip
            self._check(field, 0, 1)
        for field in ("warmup_share", "beta_2", "label_smoothing"):
            self._check(field, 0, 1, open_above=True)
        for field in ("weight_decay", "mixup_alpha", "crop_padding", "rand_augment_operations",
                      "rand_augment_std"):  # fmt: skip
            self._check(field, 0, math.inf, open_above=True)
        self._check("rand_augment_magnitude", 0, 10)
        self._check("clip_norm", 0, math.inf, open_below=True)
        self._check("ema_decay", 0, 1, open_above=True)
        self._check("sandwich_random", 0, math.inf, open_above=True)
        self._check("distillation_temperature", 0, math.inf, open_below=True, open_above=True)
        checked_choice("precision", self.precision, get_args(Precision))

    def _check(
        self,
        field: str,
        low: float,
        high: float,
        open_below: bool = False,
        open_above: bool = False,
    ) -> None:
        value = getattr(self, field)
        kind = type(self).__dataclass_fields__[field].type
        if value is None and kind.endswith("| None"):
            return
        if kind.startswith("int"):
            value = checked_whole(field, value, least=int(low))
        else:
            value = checked_real(
                field, value, low=low, high=high, open_below=open_below, open_above=open_above
            )
        object.__setattr__(self, field, value)
