"""What TFLite makes of a network, beside what our exporter makes of it."""

from __future__ import annotations

import dataclasses

import numpy as np
from rich.table import Table

from mcuformer_tflm.keras_models.exceptions import ModelError

# Different orders of summation, no more.
_FLOAT_TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class Opinion:
    """How one way to run the network compares with the float network of our Keras layers.

    Attributes:
        top1: Share of the images classified right, 0 to 1.
        agreement: Share on which it chooses the float network's class, 0 to 1.
        sqnr_db: Energy of the float logits over that of the differences, in dB.
    """

    top1: float
    agreement: float
    sqnr_db: float

    @classmethod
    def of(cls, logits: np.ndarray, wanted: np.ndarray, classes: np.ndarray) -> Opinion:
        """Compares float[n, num_classes] logits with the ``wanted`` ones."""
        choice = logits.argmax(-1)
        noise = float(np.sum(np.square(logits - wanted, dtype=np.float64)))
        signal = float(np.sum(np.square(wanted, dtype=np.float64)))
        return cls(
            float(np.mean(choice == classes)),
            float(np.mean(choice == wanted.argmax(-1))),
            float(10 * np.log10(signal / noise)) if noise else float("inf"),
        )


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The same network four ways.

    Attributes:
        images: Number of images behind it.
        float_keras: Our Keras layers in float.
        float_tflite: Stock layers through ``TFLiteConverter``, in float, run by TFLite.
        int8_tflite: The same after TFLite's post-training quantization.
        int8_ours: Our exporter's file in TFLM.
        float_error: Largest difference of the two float networks' logits, as a share of the
            largest logit.
    """

    images: int
    float_keras: Opinion
    float_tflite: Opinion
    int8_tflite: Opinion
    int8_ours: Opinion
    float_error: float

    def faults(self, margin_db: float = 6.0, margin: float = 0.02) -> list[str]:
        """Returns what speaks against our layers or our exporter, in words; nothing if fine.

        Args:
            margin_db: By how much the noise of our int8 logits may exceed that of TFLite's.
            margin: By how much our agreement with float may be below TFLite's, 0 to 1.
        """
        found = []
        if self.float_error > _FLOAT_TOLERANCE:
            found.append(
                f"the float network differs from the same in TFLite by {self.float_error:.2e} of "
                f"the largest logit ({_FLOAT_TOLERANCE:.0e} allowed)"
            )
        ours, theirs = self.int8_ours, self.int8_tflite
        if ours.sqnr_db < theirs.sqnr_db - margin_db:
            found.append(
                f"our int8 logits have {ours.sqnr_db:.1f} dB over their error, TFLite's int8 "
                f"{theirs.sqnr_db:.1f} dB ({margin_db} dB less allowed)"
            )
        if ours.agreement < theirs.agreement - margin:
            found.append(
                f"our int8 model agrees with float on {ours.agreement:.1%} of the images, TFLite's "
                f"on {theirs.agreement:.1%} ({margin:.1%} less allowed)"
            )
        return found

    def check(self, margin_db: float = 6.0, margin: float = 0.02) -> None:
        """Raises where ``faults`` finds something.

        Raises:
            ModelError: If our layers or our exporter contradict TFLite.
        """
        if found := self.faults(margin_db, margin):
            raise ModelError(f"TFLite contradicts this model: {'; '.join(found)}.")

    def table(self) -> Table:
        """Returns the verdict for a terminal."""
        table = Table(title=f"The same network four ways, {self.images:,} images")
        for column in ("network", "top-1", "agrees with float", "logits over error"):
            table.add_column(column, justify="left" if column == "network" else "right")
        for name, opinion in (
            ("float, our Keras layers", self.float_keras),
            ("float, TFLiteConverter", self.float_tflite),
            ("int8, TFLiteConverter (post-training)", self.int8_tflite),
            ("int8, our exporter, in TFLM", self.int8_ours),
        ):
            table.add_row(
                name, f"{opinion.top1:.2%}", f"{opinion.agreement:.2%}", f"{opinion.sqnr_db:.1f} dB"
            )
        return table
