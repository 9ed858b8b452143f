import numpy as np
import one_op_model
import padded_sizes
import pytest
import tflite_builtin
from conv_stem_case import NAME, ConvStemCase, drawn_matrices
from drawn import int8, multipliers, seeds, zero_points
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tensorflow.lite.python import schema_py_generated as schema

from mcuformer_tflm.custom_ops.reference.conv_stem import (
    STAGE_ZERO_POINT,
    conv_stem,
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
from mcuformer_tflm.custom_ops.reference.patch_embed import MODES
from mcuformer_tflm.plan import plan_memory
from mcuformer_tflm.runtime.tflm import open_interpreter


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


@settings(max_examples=20)
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


quads = st.integers(1, 3).map(lambda x: 4 * x)


@settings(max_examples=25)
@given(
    seeds, st.sampled_from(MODES), st.integers(1, 13), st.integers(1, 13), st.integers(1, 5),
    st.lists(quads, min_size=2, max_size=3), st.integers(1, 11), st.sampled_from(["int8", "int16"]),
    st.booleans(), st.booleans(), multipliers, zero_points,
)  # fmt: skip
def test_tokens_as_they_come_equal_the_whole_convolutions_of_the_twin(
    rng, mode, height, width, image_channels, channels, embed_dim, dtype, positions, class_token,
    multiplier, zero_point,
):  # fmt: skip
    case = ConvStemCase(rng, height, width, image_channels, channels, embed_dim, dtype, positions,
                class_token, multiplier, -abs(zero_point) + 1)  # fmt: skip
    assume(mode != "in place" or case.may_overwrite())
    case.check(mode)


@pytest.mark.parametrize("sizes", padded_sizes.cases("convolutional stem"), ids=padded_sizes.label)
def test_tokens_equal_the_twins_however_blocks_are_padded_and_whatever_scratch_held(sizes):
    case = ConvStemCase(np.random.default_rng(0), sizes.height, sizes.width, sizes.channels,
                padded_sizes.stem_channels(sizes), sizes.embed_dim, sizes.dtype,
                class_token=sizes.class_token)  # fmt: skip
    case.check(sizes.mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("patch_size", [16, 32])
def test_four_and_five_stages_give_the_twins_tokens(mode, patch_size):
    channels = stem_channels(8, patch_size)
    case = ConvStemCase(
        np.random.default_rng(0), patch_size + 3, 2 * patch_size - 5, 3, channels, 8
    )
    case.check(mode)


def test_tokens_take_the_place_of_the_image():
    case = ConvStemCase(np.random.default_rng(0), 11, 9, 3, (4, 8), 10)
    assert case.may_overwrite()
    plan = plan_memory(case.model("in place"))
    assert len({b.offset for b in plan.buffers if b.tensor is not None}) == 1


@pytest.mark.parametrize(("class_token", "most"), [(False, 16), (True, 10)])
def test_tokens_larger_than_the_pixels_read_for_them_are_refused_in_place(class_token, most):
    # A row of two tokens, behind a class token, is made of four rows of eight pixels.
    fits, larger = (
        ConvStemCase(np.random.default_rng(0), 8, 8, 1, (4, 4), width, class_token=class_token)
        for width in (most, most + 1)
    )
    assert fits.may_overwrite()
    assert not larger.may_overwrite()
    fits.check("in place")
    with pytest.raises(RuntimeError):
        open_interpreter(larger.model("in place"), 1 << 20)


def test_strips_without_an_input_source_are_an_error():
    interpreter = open_interpreter(
        ConvStemCase(np.random.default_rng(0), 8, 8, 1, (4, 4), 6).model("strips"), 1 << 20
    )
    with pytest.raises(RuntimeError):
        interpreter.invoke()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"patch_size": 2}, "patch_size is 2; allowed: 4 to 32"),
        ({"patch_size": 12}, "patch_size is 12; allowed: 4, 8, 16, 32"),
        ({"patch_size": 64}, "patch_size is 64"),
        ({"patch_size": 8}, "channels_3 is missing"),
        ({"channels_1": 0}, "channels_1 is 0; allowed: 1 to 7281"),
        ({"channels_2": 6}, "channels_2 is 6; allowed: multiples of 4"),
        ({"channels_2": 7284}, "channels_2 is 7284"),
        ({"channels_2": 8}, "weights has"),
        ({"mode": 3}, "mode is 3"),
        ({"image_height": 9}, "image_height is 9; allowed: 8 to 8"),
        ({"input_zero_point": -129}, "input_zero_point is -129"),
        ({"output_zero_point": 128}, "output_zero_point is 128"),
        ({"position_shift": 32}, "position_shift is 32"),
        ({"mode": MODES.index("strips")}, "strip has height 8; allowed: 2 to 2"),
    ],
)
def test_prepare_refuses_options_with_a_named_reason(change, reason):
    case = ConvStemCase(np.random.default_rng(0), 8, 8, 1, (4, 4), 6)
    options = case.options | {"mode": 0} | change
    found = one_op_model.rejection(NAME, [case.image], case.inputs, case.shape, options)
    assert reason in found


@pytest.mark.parametrize(
    ("position", "changed", "reason"),
    [
        (0, lambda weights: weights[:-1], "weights has"),
        (1, lambda constants: constants[:-1], "constants has"),
        (1, lambda constants: constants - [[0, 2**31 - 1, 0]], "multiplier below 0"),
        (2, lambda positions: positions[:-1], "position has"),
        (3, lambda token: token.astype(np.int16), "class token is int16"),
    ],
)
def test_prepare_refuses_constants_with_a_named_reason(position, changed, reason):
    case = ConvStemCase(np.random.default_rng(0), 8, 8, 1, (4, 4), 6, class_token=True)
    inputs = list(case.inputs)
    inputs[position] = np.ascontiguousarray(changed(inputs[position]))
    if position == 1:
        inputs[position] = inputs[position].astype(np.int32)
    options = case.options | {"mode": 0}
    assert reason in one_op_model.rejection(NAME, [case.image], inputs, case.shape, options)


def test_prepare_refuses_images_and_outputs_of_other_shapes_and_rows_too_long_for_its_scratch():
    case = ConvStemCase(np.random.default_rng(0), 8, 8, 1, (4, 4), 6)
    options, (_, patches, width) = case.options | {"mode": 0}, case.shape

    def reason(image, shape, **change):
        return one_op_model.rejection(NAME, [image], case.inputs, shape, options | change)

    assert "rank 3" in reason(case.image[0], case.shape)
    assert "a row a patch" in reason(case.image, (1, patches + 1, width))
    many = np.zeros((1, 1, 8, 7282), np.int8)
    assert "channels 7282; allowed: 1 to 7281" in reason(many, case.shape, image_height=1)
    wide = np.zeros((1, 1, 5000, 1), np.int8)
    assert "2^24 values" in reason(wide, case.shape, image_height=1, channels_1=7280)
