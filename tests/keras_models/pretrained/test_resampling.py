"""Patch embeddings for other patches, grids and pixels do what the old ones did."""

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from mcuformer_tflm.keras_models.pretrained.resampling import (
    fold_normalisation,
    resize_kernel,
    resize_positions,
)


def _drawn(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


@given(side=st.integers(1, 20), seed=st.integers(0, 99))
def test_a_kernel_of_the_same_size_stays(side, seed):
    kernel = _drawn(seed, side, side, 2, 3)
    np.testing.assert_allclose(resize_kernel(kernel, side), kernel, atol=1e-12)


@given(side=st.integers(1, 12), growth=st.integers(0, 12), seed=st.integers(0, 99))
def test_larger_patches_that_are_resized_give_the_same_token(side, growth, seed):
    patch, kernel = _drawn(seed, side, side, 2), _drawn(seed + 1, side, side, 2, 3)
    resized = tf.image.resize(patch, (side + growth, side + growth)).numpy()
    token = np.einsum("yxc,yxcd->d", resized, resize_kernel(kernel, side + growth))
    np.testing.assert_allclose(token, np.einsum("yxc,yxcd->d", patch, kernel), atol=1e-4)


@pytest.mark.parametrize(("side", "smaller"), [(8, 4), (5, 3), (7, 1)])
def test_a_smaller_kernel_is_the_nearest_that_there_is(side, smaller):
    kernel = _drawn(0, side, side, 1, 1)
    # What resizing makes of each pixel, as one matrix, [smaller^2, side^2].
    pixels = np.eye(side**2).reshape(-1, side, side, 1)
    resize = tf.image.resize(pixels, (smaller, smaller)).numpy().reshape(side**2, -1)
    nearest, *_ = np.linalg.lstsq(resize, kernel.ravel(), rcond=None)
    np.testing.assert_allclose(resize_kernel(kernel, smaller).ravel(), nearest, atol=1e-6)


@pytest.mark.parametrize("new_grid", [(3, 4), (4, 3), (7, 9), (5, 5), (2, 1)])
def test_positions_are_interpolated_as_a_picture_is(new_grid):
    position = _drawn(3, 25, 4).astype(np.float32)
    resized = resize_positions(position, (5, 5), new_grid)
    for channel in range(4):
        picture = PIL.Image.fromarray(position[:, channel].reshape(5, 5))
        expected = picture.resize(new_grid[::-1], PIL.Image.Resampling.BICUBIC)
        np.testing.assert_allclose(
            resized[:, channel].reshape(new_grid), np.asarray(expected), atol=1e-5
        )


def test_normalisation_becomes_part_of_the_kernel():
    mean, std = np.array([0.485, 0.2]), np.array([0.229, 0.7])
    kernel, bias = _drawn(0, 3, 3, 2, 5), _drawn(1, 5)
    pixels = np.random.default_rng(2).integers(0, 256, (3, 3, 2))
    folded, shifted = fold_normalisation(kernel, bias, mean, std)
    theirs = np.einsum("yxc,yxcd->d", (pixels / 255 - mean) / std, kernel) + bias
    ours = np.einsum("yxc,yxcd->d", (pixels - 128) / 128, folded) + shifted
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
