"""Ranges of activations from what a network computes on data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from mcuformer_tflm.keras_models.exceptions import DataError


class Network(Protocol):
    """What is calibrated: a model that knows its layers with quantizers."""

    def operators(self) -> Iterable[Any]:
        """Returns the layers that own quantizers."""

    def __call__(self, images: Any, training: bool) -> Any:
        """Computes on a batch of images."""


class Calibration:
    """What one tensor held so far.

    Attributes:
        lowest: Least value of each channel, float[channels].
        highest: Greatest value of each channel.
        clipped: Number of values outside the bounds.
        count: Number of values.
    """

    def __init__(
        self, percentile: float = 100.0, bounds: tuple[float, float] = (-np.inf, np.inf)
    ) -> None:
        """Starts with nothing.

        Args:
            percentile: Share of a batch's values, in percent, that ``limits`` hold between
                them, the rest cut off on both sides alike; 100 holds all.
            bounds: Least and greatest value that do not count as clipped.
        """
        self.percentile = percentile
        self.bounds = bounds
        self.clipped, self.count = 0, 0
        self.lowest: np.ndarray | float = np.inf
        self.highest: np.ndarray | float = -np.inf
        self._cut: list[np.ndarray] = []

    def see(self, values: Any) -> None:
        """Takes in float[..., channels]."""
        rows = np.reshape(values, [-1, np.shape(values)[-1]])
        self.lowest = np.minimum(self.lowest, rows.min(0))
        self.highest = np.maximum(self.highest, rows.max(0))
        low, high = self.bounds
        self.clipped += int(np.count_nonzero((rows < low) | (rows > high)))
        self.count += rows.size
        if self.percentile < 100:
            outside = (100 - self.percentile) / 2
            self._cut.append(np.percentile(rows, [outside, 100 - outside]))

    @property
    def limits(self) -> tuple[float, float]:
        """Least and greatest value, or the mean of the batches' percentiles."""
        if self._cut:
            low, high = np.mean(self._cut, axis=0)
            return float(low), float(high)
        return float(np.min(self.lowest)), float(np.max(self.highest))

    def constant_channels(self) -> np.ndarray:
        """Returns the numbers of the channels that never changed."""
        return np.flatnonzero(np.equal(self.lowest, self.highest))


def calibrate(
    network: Network, batches: Iterable[np.ndarray], *, percentile: float = 100.0
) -> dict[tuple[str, str], Calibration]:
    """Sets the ranges of a quantized network by what it computes without rounding.

    Args:
        network: A quantized network.
        batches: Images, float32[batch, height, width, channels] in [-1, 1).
        percentile: As for ``Calibration``.

    Returns:
        What each tensor held, by the names of its layer and of its quantizer.

    Raises:
        DataError: If there is no image, or a tensor holds values that are no numbers.
    """
    layers = list(network.operators())
    found = {
        (layer.name, name): calibration
        for layer in layers
        for name, calibration in layer.start_calibration(percentile).items()
    }
    seen = 0
    for batch in batches:
        # Training mode makes TF-MOT's weight quantizers take the range of the weights.
        network(batch, training=True)
        seen += len(batch)
    if seen == 0:
        raise DataError("Calibration got no images; give at least one batch.")
    for (layer, name), calibration in found.items():
        if not np.all(np.isfinite(calibration.limits)):
            raise DataError(
                f"{layer}: {name} holds values that are no numbers on the calibration images; "
                "look for damaged images or weights."
            )
    for layer in layers:
        layer.finish_calibration()
    return found


def clipped_shares(network: Network, batches: Iterable[np.ndarray]) -> dict[tuple[str, str], float]:
    """Returns the share of each tensor's values that its range cuts off, 0 to 1.

    Args:
        network: A quantized network with its ranges set.
        batches: As for ``calibrate``; at least one.

    Returns:
        Shares by the names of layer and quantizer.
    """
    layers = list(network.operators())
    found = {
        (layer.name, name): calibration
        for layer in layers
        for name, calibration in layer.start_calibration().items()
    }
    for batch in batches:
        network(batch, training=False)
    for layer in layers:
        layer.finish_calibration(set_ranges=False)
    return {key: calibration.clipped / calibration.count for key, calibration in found.items()}
