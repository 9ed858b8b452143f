"""A convolutional stem drawn at random, held against its twin in TFLM and on the emulated cores."""

import numpy as np
import one_op_model
from drawn import channel_constants, int8
from on_cortex_m import BUILDS, run, scratch

from mcuformer_tflm.custom_ops.reference.conv_stem import (
    STAGE_ZERO_POINT,
    STRIP_ROWS,
    conv_stem,
    matrix_shapes,
    pack_stem_weights,
    scratch_bytes,
    stage_options,
    tokens_may_overwrite,
)
from mcuformer_tflm.custom_ops.reference.fixed_point import RESIDUAL_FRACTION_BITS
from mcuformer_tflm.custom_ops.reference.patch_embed import MODES
from mcuformer_tflm.emulator.machine import Buffer, RowSource, Struct
from mcuformer_tflm.runtime.input_source import input_source
from mcuformer_tflm.runtime.model_twin import run_twin
from mcuformer_tflm.tflite.model_graph import read_graph

NAME = "McuformerConvStem"
STAGES = 5  # that the kernel's struct has room for


class ConvStemCase:
    """The operator's inputs and what the twin says."""

    def __init__(self, rng, height, width, image_channels, channels, embed_dim, dtype="int8",
                 positions=True, class_token=False, multiplier=2**30, zero_point=3):  # fmt: skip
        patch = 2 ** len(channels)
        self.image = int8(rng, 1, height, width, image_channels)
        kernels, projection = drawn_matrices(rng, image_channels, channels, embed_dim)
        shapes = list(matrix_shapes(image_channels, channels, embed_dim))
        extra_bits = [0] * len(channels) + [RESIDUAL_FRACTION_BITS + (8 if dtype == "int16" else 0)]
        constants = np.concatenate([
            channel_constants(rng, *shape, bits)
            for shape, bits in zip(shapes, extra_bits, strict=True)
        ])  # fmt: skip
        # As a sum of a stage's inputs that are -128 and more is folded into the bias.
        for kernel, at in zip(kernels[1:], np.cumsum(channels), strict=False):
            folded = kernel.reshape(len(kernel), -1).astype(int).sum(1)
            constants[at : at + len(kernel), 0] -= STAGE_ZERO_POINT * folded
        patches = -(-height // patch) * -(-width // patch)
        position = int8(rng, patches, embed_dim) if positions else None
        token = int8(rng, embed_dim).astype(dtype) if class_token else None
        zero_points = {"input_zero_point": zero_point, "output_zero_point": -zero_point}
        self.wanted = conv_stem(
            self.image[0], kernels, projection, constants, position=position, class_token=token,
            residual_multiplier=multiplier, residual_shift=7, dtype=np.dtype(dtype).type,
            **zero_points,
        )  # fmt: skip
        self.inputs = [pack_stem_weights(kernels, projection), constants, position, token]
        self.shape, self.dtype = (1, patches + class_token, embed_dim), dtype
        self.channels = tuple(channels)
        self.options = zero_points | stage_options(channels) | {
            "patch_size": patch, "image_height": height, "position_multiplier": multiplier,
            "position_shift": 7,
        }  # fmt: skip

    def may_overwrite(self):
        """Returns whether the operator takes it in place."""
        _, height, width, channels = self.image.shape
        return tokens_may_overwrite(
            height, width, 2 ** len(self.channels), channels, self.shape[-1],
            np.dtype(self.dtype).itemsize, self.inputs[3] is not None,
        )  # fmt: skip

    def model(self, mode):
        """Returns the operator's model."""
        _, _, width, channels = self.image.shape
        source = np.zeros((1, STRIP_ROWS, width, channels), np.int8)
        return one_op_model.build(
            NAME, [source if mode == "strips" else self.image], self.inputs, self.shape,
            self.options | {"mode": MODES.index(mode)}, self.dtype,
        )  # fmt: skip

    def check_in_tflm(self, mode):
        """Asserts that TFLM gives what the twin does, in an arena that is not clean."""
        asked = []

        def read(row, rows):
            asked.append((row, rows))
            return self.image[0, row : row + rows]

        model = self.model(mode)
        with input_source(read, self.image[0, 0].size):
            found = one_op_model.run_in_used_arena(
                model, [] if mode == "strips" else [self.image]
            )  # fmt: skip
        np.testing.assert_array_equal(found[0], self.wanted)
        np.testing.assert_array_equal(run_twin(read_graph(model), self.image)[0], self.wanted)
        if mode == "strips":
            assert asked == self.strips()

    def check_on_cortex_m(self, mode):
        """Asserts that the emulated kernel gives what the twin does."""
        _, height, width, image_channels = self.image.shape
        options, element_size = self.options, np.dtype(self.dtype).itemsize
        packed, constants, position, token = self.inputs
        arena = np.full(max(self.image.nbytes, self.wanted.nbytes), -0x5B, np.int8)
        source, read = Buffer(arena), None
        if mode == "strips":
            source = Buffer(np.zeros((STRIP_ROWS, width, image_channels), np.int8))
            read = RowSource(self.image[0])
        else:
            arena[: self.image.size] = self.image.reshape(-1)
        output = source if mode == "in place" else Buffer(np.zeros_like(self.wanted))
        channels = self.channels + (0,) * (STAGES - len(self.channels))
        for build in BUILDS:
            left = run(
                build,
                f"bool mcuformer::ConvStem<{'signed char' if element_size == 1 else 'short'}>",
                Struct((height, width, image_channels, len(self.channels), *channels,
                        self.shape[-1], options["input_zero_point"], options["output_zero_point"],
                        options["position_multiplier"], options["position_shift"],
                        MODES.index(mode))),
                Struct((packed, constants, 8, position, token)),
                Struct((source, read, None)),
                scratch(scratch_bytes(width, image_channels, self.channels)), output,
            )  # fmt: skip
            written = left.tobytes()[: self.wanted.nbytes]
            found = np.frombuffer(written, self.dtype).reshape(self.wanted.shape)
            np.testing.assert_array_equal(found, self.wanted, err_msg=build)

    def strips(self):
        """Returns (first row, number of rows) of each strip."""
        height = self.image.shape[1]
        return [(row, min(STRIP_ROWS, height - row)) for row in range(0, height, STRIP_ROWS)]

    def check(self, mode):
        """Asserts that TFLM and the emulated kernel give what the twin does."""
        self.check_in_tflm(mode)
        self.check_on_cortex_m(mode)


def drawn_matrices(rng, image_channels, channels, embed_dim):
    """Returns kernels and projection drawn at random."""
    *stages, last = matrix_shapes(image_channels, channels, embed_dim)
    return [int8(rng, n, 3, 3, width // 9) for n, width in stages], int8(rng, *last)
