"""The spaces that are shipped, by name."""

from __future__ import annotations

from mcuformer_tflm.search.space import (
    FASHION_MNIST_SPACE,
    FASHION_MNIST_WIDE_SPACE,
    KEYWORD_98X40_SPACE,
    KEYWORD_SPACE,
    PERSON_SPACE,
    SearchSpace,
)

SHIPPED_SPACES = {
    "paper": SearchSpace(),
    "fashion_mnist": FASHION_MNIST_SPACE,
    "fashion_mnist_wide": FASHION_MNIST_WIDE_SPACE,
    "keyword": KEYWORD_SPACE,
    "keyword_98x40": KEYWORD_98X40_SPACE,
    "person": PERSON_SPACE,
}
