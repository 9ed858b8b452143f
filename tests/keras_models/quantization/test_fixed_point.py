"""TensorFlow's fixed point against the numpy twins, on edges and on random values."""

import numpy as np
import pytest
import tensorflow as tf

from mcuformer_tflm.custom_ops.reference import fixed_point as twin
from mcuformer_tflm.custom_ops.reference.gelu import gelu_table as twin_gelu_table
from mcuformer_tflm.custom_ops.reference.integer_sqrt import integer_sqrt as twin_sqrt
from mcuformer_tflm.custom_ops.reference.layer_norm import fold_layer_norm as twin_fold
from mcuformer_tflm.keras_models.layers.gelu import gelu_table
from mcuformer_tflm.keras_models.layers.layer_norm import fold_layer_norm, integer_sqrt
from mcuformer_tflm.keras_models.quantization import fixed_point

EDGES = np.array([0, 1, -1, 2, -2, 3, 2**31 - 1, -(2**31), 2**30, -(2**30), 255, -256])


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def values(rng):
    wide = rng.integers(-(2**31), 2**31, 2000)
    return np.concatenate([EDGES, wide >> rng.integers(0, 31, 2000)])


def test_multipliers_equal_the_twin(rng):
    reals = np.exp(rng.uniform(-30, 5, 2000))
    # Powers of two, what rounds up to one, what is too small or too great, nothing.
    reals = np.concatenate([reals, 2.0 ** np.arange(-40, 40), [1 - 2**-53, 2.0**-32.5, 1e-320, 0]])
    found = [part.numpy() for part in fixed_point.quantize_multiplier(tf.constant(reals))]
    wanted = [twin.quantize_multiplier(float(real)) for real in reals]
    np.testing.assert_array_equal(np.stack(found, -1), wanted)


def test_rescaling_equals_the_twin(rng, values):
    multiplier = rng.integers(2**30, 2**31, len(values))
    shift = rng.integers(-31, 8, len(values))
    run = fixed_point.integer_function(fixed_point.multiply_by_quantized_multiplier)
    found = run(tf.constant(values), tf.constant(multiplier), tf.constant(shift))
    wanted = twin.multiply_by_quantized_multiplier(values, multiplier, shift)
    np.testing.assert_array_equal(found, wanted)


def test_residual_sum_equals_the_twin(rng, values):
    multiplier = rng.integers(2**30, 2**31, len(values))
    shift = rng.integers(-20, 2, len(values))
    residual = rng.integers(-(2**16), 2**16, len(values))
    run = fixed_point.integer_function(fixed_point.residual_add)
    given = values, multiplier, shift, residual, 2**30 + 7, 3
    found = run(*(tf.constant(part, tf.int64) for part in given))
    wanted = twin.residual_add(values, multiplier, shift, residual, 0, 2**30 + 7, 3)
    np.testing.assert_array_equal(found, wanted)


def test_sums_along_rows_are_exact(rng):
    x = rng.integers(-(2**31), 2**31, (5, 1000))
    np.testing.assert_array_equal(fixed_point.row_sums(tf.constant(x)), x.sum(-1, keepdims=True))


@pytest.mark.parametrize("iterations", [0, 1, 3, 4])
def test_root_equals_the_twin(rng, iterations):
    powers = 2 ** np.arange(32)
    n = np.concatenate([powers, powers[1:] - 1, powers + 1, rng.integers(1, 2**32, 1000)])
    np.testing.assert_array_equal(
        integer_sqrt(tf.constant(n), iterations), twin_sqrt(n, iterations)
    )


@pytest.mark.parametrize("gain", [0.0, 1e-6, 0.3, 40.0])
def test_constants_of_layer_norm_equal_the_twin(rng, gain):
    gamma = np.float32(gain * rng.standard_normal(20))
    beta = np.float32(rng.standard_normal(20))
    quantization = tf.constant(0.0173, tf.float64), tf.constant(-5, tf.int64)
    found = fold_layer_norm(tf.constant(gamma), tf.constant(beta), *quantization)
    for one, other in zip(found, twin_fold(gamma, beta, 0.0173, -5), strict=True):
        np.testing.assert_array_equal(one, other)


def test_table_of_gelu_equals_the_twin(rng):
    for _ in range(20):
        scales, zero_points = np.exp(rng.uniform(-6, -2, 2)), rng.integers(-128, 128, 2)
        given = [scales[0], zero_points[0], scales[1], zero_points[1]]
        np.testing.assert_array_equal(gelu_table(*map(tf.constant, given)), twin_gelu_table(*given))
