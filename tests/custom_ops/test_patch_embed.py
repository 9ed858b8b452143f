import contextlib
import ctypes

import numpy as np
import one_op_model
import padded_sizes
import pytest
from drawn import channel_constants, int8, multipliers, seeds, zero_points
from hypothesis import assume, given
from hypothesis import strategies as st
from on_cortex_m import BUILDS, run, scratch

from mcuformer_tflm.custom_ops.reference.dot import unit_constants
from mcuformer_tflm.custom_ops.reference.patch_embed import (
    MODES,
    pack_patch_weights,
    patch_embed,
    scratch_bytes,
    tokens_may_overwrite,
)
from mcuformer_tflm.emulator.machine import Buffer, RowSource, Struct
from mcuformer_tflm.plan import plan_memory, write_plan
from mcuformer_tflm.runtime import library
from mcuformer_tflm.runtime.tflm import open_interpreter

NAME = "McuformerPatchEmbed"


class Case:
    """A patch embedding drawn at random, its operator's inputs and what the twin says."""

    def __init__(self, rng, height, width, channels, patch, embed_dim, tile, dtype="int8",
                 positions=True, class_token=False, multiplier=2**30, zero_point=3):  # fmt: skip
        self.image = int8(rng, 1, height, width, channels)
        weights = int8(rng, embed_dim, patch, patch, channels)
        constants = channel_constants(rng, embed_dim, patch * patch * channels, 8)
        patches = -(-height // patch) * -(-width // patch)
        position = int8(rng, patches, embed_dim) if positions else None
        token = int8(rng, embed_dim).astype(dtype) if class_token else None
        options = {"input_zero_point": zero_point, "output_zero_point": -zero_point}
        self.wanted = patch_embed(
            self.image[0], weights, constants, position=position, class_token=token,
            residual_multiplier=multiplier, residual_shift=7, dtype=np.dtype(dtype).type,
            **options,
        )  # fmt: skip
        self.inputs = [pack_patch_weights(weights, tile), constants, position, token]
        self.shape, self.dtype = (1, patches + class_token, embed_dim), dtype
        self.options = options | {
            "patch_size": patch,
            "tile": tile,
            "position_multiplier": multiplier,
            "position_shift": 7,
            "image_height": height,
        }

    def check_on_cortex_m(self, mode):
        """Asserts that the emulated kernel gives what the twin does."""
        _, height, width, channels = self.image.shape
        patch, tile, zero_point, output_zero_point, multiplier, shift = (
            self.options[name] for name in
            ("patch_size", "tile", "input_zero_point", "output_zero_point",
             "position_multiplier", "position_shift")
        )  # fmt: skip
        embed_dim, element_size = self.shape[-1], np.dtype(self.dtype).itemsize
        packed, constants, position, token = self.inputs
        held = -(-width // patch) if mode == "in place" else 0
        size = scratch_bytes(embed_dim, patch, channels, tile, held, element_size)
        arena = np.zeros(max(self.image.nbytes, self.wanted.nbytes), np.int8)
        arena[: self.image.size] = self.image.reshape(-1)
        pixels, read = Buffer(arena), None
        if mode == "strips":
            pixels = Buffer(np.zeros((patch, width, channels), np.int8))
            read = RowSource(self.image[0])
        output = pixels if mode == "in place" else Buffer(np.zeros_like(self.wanted))
        for build in BUILDS:
            left = run(
                build,
                f"bool mcuformer::PatchEmbed<{'signed char' if element_size == 1 else 'short'}>",
                Struct((height, width, channels, patch, embed_dim, tile, zero_point,
                        output_zero_point, multiplier, shift, MODES.index(mode))),
                Struct((packed, constants, 8, position, token)),
                Struct((pixels, read, None)),
                scratch(size), output,
            )  # fmt: skip
            written = left.tobytes()[: self.wanted.nbytes]
            found = np.frombuffer(written, self.dtype).reshape(self.wanted.shape)
            np.testing.assert_array_equal(found, self.wanted, err_msg=build)

    def model(self, mode, source=None):
        """Returns the operator's model; ``source`` stands for the image's tensor."""
        return one_op_model.build(
            NAME, [self.image if source is None else source], self.inputs, self.shape,
            self.options | {"mode": MODES.index(mode)}, self.dtype,
        )  # fmt: skip


@given(
    seeds, st.integers(1, 13), st.integers(1, 13), st.integers(1, 3), st.integers(1, 9),
    st.integers(1, 20), st.integers(1, 10), zero_points, st.sampled_from(["int8", "int16"]),
    st.booleans(), st.booleans(), multipliers,
)  # fmt: skip
def test_decomposed_in_tflm_equals_the_whole_convolution_of_the_twin(
    rng, height, width, channels, patch, embed_dim, tile, zero_point, dtype, positions,
    class_token, multiplier,
):  # fmt: skip
    case = Case(
        rng, height, width, channels, min(patch, height, width), embed_dim, tile, dtype, positions,
        class_token, multiplier, -abs(zero_point) + 1,
    )  # fmt: skip
    found = one_op_model.run_model(case.model("whole"), [case.image])
    np.testing.assert_array_equal(found[0], case.wanted)
    case.check_on_cortex_m("whole")


@pytest.mark.parametrize("sizes", padded_sizes.cases("patch embedding"), ids=padded_sizes.label)
def test_tokens_equal_the_twins_however_blocks_are_padded_and_whatever_scratch_held(sizes):
    case = Case(np.random.default_rng(0), sizes.height, sizes.width, sizes.channels, sizes.patch,
                sizes.embed_dim, sizes.tile, sizes.dtype,
                class_token=sizes.class_token)  # fmt: skip
    found = one_op_model.run_in_used_arena(case.model(sizes.mode), [case.image])
    np.testing.assert_array_equal(found[0], case.wanted)
    case.check_on_cortex_m(sizes.mode)


@given(
    seeds, st.integers(2, 14), st.integers(2, 14), st.integers(1, 3), st.integers(1, 5),
    st.integers(1, 20), st.booleans(),
)  # fmt: skip
def test_tokens_that_overwrite_the_image_are_the_same(
    rng, height, width, channels, patch, embed_dim, class_token
):
    patch = min(patch, height, width)
    sizes = (height, width, patch, channels, embed_dim)
    assume(tokens_may_overwrite(*sizes, class_token=class_token))
    case = Case(rng, height, width, channels, patch, embed_dim, 4, class_token=class_token)
    model = case.model("in place")
    plan = plan_memory(model)
    assert len({b.offset for b in plan.buffers if b.tensor is not None}) == 1
    found = one_op_model.run_model(write_plan(model, plan), [case.image])
    np.testing.assert_array_equal(found[0], case.wanted)
    case.check_on_cortex_m("in place")


def test_tokens_larger_than_their_pixels_are_refused_in_place():
    case = Case(np.random.default_rng(0), 8, 8, 1, 2, 9, 4)
    assert not tokens_may_overwrite(8, 8, 2, 1, 9)
    with pytest.raises(RuntimeError):
        open_interpreter(case.model("in place"), 1 << 20)


@pytest.mark.parametrize(("embed_dim", "opens"), [(12, True), (13, False)])
def test_padding_above_an_image_is_no_room_for_tokens(embed_dim, opens):
    # 5 rows in patches of 4: three rows of padding, one above, so that the first row of patches
    # reads three rows of 4 pixels, and the second row all that is left.
    case = Case(np.random.default_rng(0), 5, 4, 1, 4, embed_dim, 4)
    assert tokens_may_overwrite(5, 4, 4, 1, embed_dim) == opens
    with contextlib.nullcontext() if opens else pytest.raises(RuntimeError):
        open_interpreter(case.model("in place"), 1 << 20)


_READ = ctypes.CFUNCTYPE(
    ctypes.c_bool, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_int8)
)


@given(seeds, st.integers(1, 14), st.integers(1, 14), st.integers(1, 3), st.integers(1, 6))
def test_strips_of_rows_give_the_same_tokens_and_are_asked_for_once_in_order(
    rng, height, width, channels, patch
):
    patch = min(patch, height, width)
    case = Case(rng, height, width, channels, patch, 6, 4)
    asked = []

    @_READ
    def read(_, row, rows, pixels):
        asked.extend(range(row, row + rows))
        strip = np.ascontiguousarray(case.image[0, row : row + rows])
        ctypes.memmove(pixels, strip.ctypes.data, strip.nbytes)
        return True

    strip = np.zeros((1, patch, width, channels), np.int8)
    interpreter = open_interpreter(case.model("strips", strip), 1 << 20)
    library.load().McuformerSetInputSource(read, None)
    try:
        interpreter.invoke()
    finally:
        library.load().McuformerSetInputSource(_READ(), None)
    np.testing.assert_array_equal(interpreter.get_output(0)[0], case.wanted)
    assert asked == list(range(height))
    case.check_on_cortex_m("strips")


def test_strips_without_an_input_source_are_an_error():
    case = Case(np.random.default_rng(0), 8, 8, 1, 4, 6, 4)
    strip = np.zeros((1, 4, 8, 1), np.int8)
    interpreter = open_interpreter(case.model("strips", strip), 1 << 20)
    with pytest.raises(RuntimeError):
        interpreter.invoke()


def test_padding_stands_for_zero_the_smaller_half_first():
    image = np.full((1, 3, 3, 1), 10, np.int8)
    weights = np.ones((1, 2, 2, 1), np.int8)
    # 3 pixels and patches of 2: one pixel of padding, behind. Zero point 4, so a pixel is 6.
    constants = unit_constants(np.array([-4 * 4]), np.array([2**30]), np.array([9]))
    found = patch_embed(image[0], weights, constants, 4, 0)
    np.testing.assert_array_equal(found[:, 0], [24, 12, 12, 6])
