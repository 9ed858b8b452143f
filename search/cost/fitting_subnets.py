"""The part of a space that fits a budget."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import BudgetError
from mcuformer_tflm.search.cost.fit import Fit
from mcuformer_tflm.search.cost.memory import num_macs
from mcuformer_tflm.search.space import SearchSpace

_VARIED = ("embed_dim", "depth", "num_heads", "mlp_ratio", "head_dim")
# Draws before a subnet is made smaller instead: where fewer than one in so many fits.
_DRAWS = 50


class FittingSubnets:
    """Draws the subnets of a space that fit, for a trainer that is to train no others.

    Args:
        space: Of one supernet, or of several.
        fit: The budget.

    Raises:
        BudgetError: If no subnet fits.
    """

    def __init__(self, space: SearchSpace, fit: Fit) -> None:
        """Checks that something fits."""
        fit.require(space)
        self.space, self.fit = space, fit

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draws uniformly among those that fit; where hardly any does, makes one smaller."""
        for _ in range(_DRAWS):
            architecture = self.space.sample(rng)
            if self.fit(architecture):
                return architecture
        while not self.fit(architecture):
            smaller = self.space.smaller(architecture)
            if not smaller:  # of a pair of which none fits
                architecture = self.space.sample(rng)
                continue
            architecture = smaller[int(rng.integers(len(smaller)))]
        return architecture

    def smallest(self) -> Architecture:
        """Returns the smallest network of the space."""
        return self.space.smallest()

    def largest_drawn(self, rng: np.random.Generator, *, count: int = 20) -> Architecture:
        """Returns, of so many that are drawn, the one that computes most.

        Multiply-accumulates are a proxy of accuracy that costs no training (Lin et al., MCUNet,
        2020), among networks of one patch size and stem.
        """
        return max((self.sample(rng) for _ in range(count)), key=num_macs)


def without_what_never_fits(space: SearchSpace, fit: Fit) -> SearchSpace:
    """Returns a space without the values that no fitting subnet has; its supernets are smaller.

    A value is kept where a subnet fits that has it and is as small as can be otherwise. Patch
    sizes, ranks and stems stay.

    Raises:
        BudgetError: If no subnet fits.
    """
    fit.require(space)
    kept: dict[str, Any] = {}
    for field in _VARIED:
        alone: list[dict[str, Any]] = [{field: (value,)} for value in getattr(space, field)]
        kept[field] = tuple(
            only[field][0] for only in alone if _some_fits(dataclasses.replace(space, **only), fit)
        )
    return dataclasses.replace(space, **kept)


def _some_fits(space: SearchSpace, fit: Fit) -> bool:
    try:
        fit.require(space)
    except BudgetError:
        return False
    return True
