import numpy as np
import tflite_builtin
from drawn import int8, seeds, zero_points
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.lite.python import schema_py_generated as schema

from mcuformer_tflm.custom_ops.reference.conv_stem import (
    STAGE_ZERO_POINT,
    conv_stem,
    matrix_shapes,
    pack_stem_weights,
    scratch_bytes,
    stem_channels,
    unpack_stem_weights,
)
from mcuformer_tflm.custom_ops.reference.dot import unit_constants
from mcuformer_tflm.custom_ops.reference.fixed_point import (
    RESIDUAL_FRACTION_BITS,
    quantize_multiplier,
)


def drawn_matrices(rng, image_channels, channels, embed_dim):
    """Returns kernels and projection drawn at random."""
    *stages, last = matrix_shapes(image_channels, channels, embed_dim)
    return [int8(rng, n, 3, 3, width // 9) for n, width in stages], int8(rng, *last)


def test_channels_double_with_the_stride_and_slice_those_of_a_wider_stem():
    assert stem_channels(192, 16) == (24, 48, 96, 192)
    assert stem_channels(10, 8) == (4, 8, 12)
    for patch in (4, 8, 16, 32):
        for narrow in range(1, 70):
            channels = stem_channels(narrow, patch)
            assert 2 ** len(channels) == patch
            assert channels[-1] >= narrow
            wider = stem_channels(narrow + 1, patch)
            assert all(a <= b for a, b in zip(channels, wider, strict=True))


def test_scratch_of_the_papers_image_leaves_room_in_40_kib():
    rings, block, projection, kept = 3 * 3 * 2880, 9 * 96 * 4 * 2, 192 * 4 * 2, 240 * 3
    wanted = rings + block + projection + kept
    assert scratch_bytes(240, 3, stem_channels(192, 16)) == wanted <= 40 * 1024


@given(seeds, st.integers(1, 4), st.lists(st.integers(1, 9), min_size=2, max_size=4),
       st.integers(1, 9))  # fmt: skip
def test_packed_weights_unpack_to_themselves(rng, image_channels, channels, embed_dim):
    kernels, projection = drawn_matrices(rng, image_channels, channels, embed_dim)
    packed = pack_stem_weights(kernels, projection)
    *found, last = unpack_stem_weights(packed, image_channels, channels, embed_dim)
    for one, other in zip(found[0], kernels, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(last, projection)


@settings(max_examples=10)
@given(seeds, st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(1, 6),
       zero_points)  # fmt: skip
def test_stages_of_the_twin_equal_tflites_reference_convolution_with_relu(
    rng, height, width, channels, units, zero_point
):
    image = int8(rng, height, width, channels)
    # As TFLite holds scales.
    scale, weight_scale = (float(np.float32(x)) for x in (0.02, 0.01))
    wanted, at = image[None], zero_point
    kernels, constants = [], []
    for _ in range(2):
        kernel = np.maximum(int8(rng, units, 3, 3, wanted.shape[-1]), -127)
        bias = rng.integers(-20000, 20000, units, dtype=np.int32)
        target = float(np.float32(scale * weight_scale * 100 * kernel[0].size ** 0.5))
        constants.append(_constants(kernel, bias, at, scale * weight_scale / target))
        wanted = _tflite_stage(wanted, at, scale, kernel, weight_scale, bias, target)
        kernels.append(kernel)
        scale, at = target, STAGE_ZERO_POINT
    # A projection that lets pass what the last stage gives, to an output as wide as that.
    projection = np.eye(units, dtype=np.int8)
    last = _constants(projection, np.zeros(units, int), at, 2.0**RESIDUAL_FRACTION_BITS)
    constants = np.concatenate([*constants, last])
    found = conv_stem(image, kernels, projection, constants, zero_point, 0, dtype=np.int16)
    np.testing.assert_array_equal(found, wanted.reshape(-1, units).astype(int) - STAGE_ZERO_POINT)


def _constants(weights, bias, zero_point, factor):
    folded = bias - zero_point * weights.reshape(len(weights), -1).astype(int).sum(1)
    multiplier, shift = quantize_multiplier(factor)
    return unit_constants(folded, *(np.full(len(weights), x) for x in (multiplier, shift)))


def _tflite_stage(x, zero_point, scale, kernel, weight_scale, bias, output_scale):
    # TFLite pads an even size at its end only; ours has a row and column of zeros on each side.
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=zero_point)
    options = schema.Conv2DOptionsT()
    options.padding = schema.Padding.VALID
    options.strideH = options.strideW = 2
    options.dilationHFactor = options.dilationWFactor = 1
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU
    height, width = (-(-size // 2) for size in x.shape[1:3])
    return tflite_builtin.run(
        schema.BuiltinOperator.CONV_2D, schema.BuiltinOptions.Conv2DOptions, options,
        [(padded, scale, zero_point), (kernel, weight_scale, 0), (bias, scale * weight_scale, 0)],
        ((1, height, width, len(kernel)), "int8", output_scale, STAGE_ZERO_POINT),
    )  # fmt: skip
