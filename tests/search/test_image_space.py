"""Spaces for images of any shape, and what a budget leaves of them."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.search.board import get_board
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.cost.fit import Fit
from mcuformer_tflm.search.cost.memory import flash_bytes
from mcuformer_tflm.search.cost.milliseconds import estimate_cost
from mcuformer_tflm.search.image_space import fitting_space, image_space
from mcuformer_tflm.search.space import FASHION_MNIST_WIDE_SPACE, SearchSpace

SMALL = SearchSpace(
    image_size=8, channels=1, num_classes=3, patch_size=(2, 4), rank_ratio=(0.5, 0.9),
    embed_dim=(8, 16, 32), depth=(1, 2), num_heads=(1, 2, 4), mlp_ratio=(1.0, 3.0),
    head_dim=(4, 8), stem=("patch", "conv"),
)  # fmt: skip


@settings(max_examples=40)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 4), st.integers(2, 50))
def test_images_of_any_shape_have_a_space_of_some_tokens(height, width, channels, classes):
    space = image_space((height, width), channels, num_classes=classes)
    assert space.image_shape == (height, width, channels)
    assert space.num_classes == classes
    for pair in space.pairs():
        tokens = pair.smallest().num_tokens
        assert tokens <= 200 or min(height, width) < 9, "patches as large as the image remain"
        assert tokens >= 9 or height * width < 81, "few pixels, few tokens"


def test_space_of_fashion_mnist_is_the_wide_one_again():
    assert image_space(28, 1, num_classes=10) == FASHION_MNIST_WIDE_SPACE


def test_an_image_without_pixels_is_refused():
    with pytest.raises(ConfigError, match="image_size is 0"):
        image_space(0, 1, num_classes=2)


@pytest.mark.parametrize("arena", [2360, 2900, 3400, 10**6])
def test_values_that_no_fitting_network_has_are_left_out_and_no_others(arena):
    fit = Fit(Budget(arena, 10**6, "small"))
    space = fitting_space(SMALL, fit)
    rng = np.random.default_rng(0)
    seen = {field: set() for field in ("embed_dim", "head_dim", "depth", "patch_size", "stem")}
    for _ in range(600):
        network = SMALL.sample(rng)
        if fit(network):
            assert space.contains(network)
            for field, values in seen.items():
                values.add(getattr(network, field))
    for field, values in seen.items():
        assert values == set(getattr(space, field)), field


def test_flash_and_milliseconds_narrow_a_space_too():
    space = dataclasses.replace(SMALL, image_size=16)
    board = get_board("stm32f427")
    assert fitting_space(space, Fit(Budget.of_board(board))) == space
    slow = [estimate_cost(pair.smallest(), board).milliseconds for pair in space.pairs()]
    quick = Fit(Budget.of_board(board, milliseconds=(min(slow) + max(slow)) / 2))
    assert fitting_space(space, quick).patch_size == (4,)
    little = min(flash_bytes(pair.smallest()) for pair in space.pairs()) + 300
    assert max(fitting_space(space, Fit(Budget(10**6, little, "little"))).embed_dim) == 8
