"""Construction of supernets from search spaces."""

from __future__ import annotations

from mcuformer_tflm.keras_models.architecture import Stem
from mcuformer_tflm.keras_models.checked_values import checked_type
from mcuformer_tflm.keras_models.precision import Precision
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.search.space import SearchSpace


def build_supernet(
    space: SearchSpace | None = None,
    patch_size: int | None = None,
    *,
    rank_ratio: float | None = None,
    stem: Stem | None = None,
    precision: Precision = "float32",
) -> Supernet:
    """Builds the weight-entangled supernet of a search space.

    One supernet serves one pair of ``patch_size`` and ``rank_ratio``, and one stem: the
    evolution of the space moves over such pairs.

    Args:
        space: What to search; by default the paper's full space (240x240x3, 1000 classes).
        patch_size: One of the space's; by default its smallest.
        rank_ratio: One of the space's; by default its largest.
        stem: One of the space's; by default its first.
        precision: ``"float32"``, or ``"mixed_bfloat16"``: weights in 32 bits, products in 16.

    Returns:
        A tf_keras model; ``supernet.extract(architecture)`` gives a network of its own.

    Raises:
        ConfigError: If the space does not hold them, or ``precision`` is neither.
    """
    space = SearchSpace() if space is None else space
    checked_type("space", space, SearchSpace)
    chosen = space.at(
        patch_size=min(space.patch_size) if patch_size is None else patch_size,
        rank_ratio=max(space.rank_ratio) if rank_ratio is None else rank_ratio,
        stem=space.stem[0] if stem is None else stem,
    )
    return Supernet(chosen.largest(), precision)
