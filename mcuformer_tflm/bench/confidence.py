"""How sure a mean is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

_CONFIDENCE = 0.95


def mean_and_interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Returns the mean, and half its 95 % interval by Student's t; None for one value."""
    from scipy.stats import t

    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return mean, float(t.ppf((1 + _CONFIDENCE) / 2, len(values) - 1)) * error
