import numpy as np
import one_op_model
from drawn import channel_constants, int8, multipliers, seeds, zero_points
from hypothesis import given
from hypothesis import strategies as st

from mcuformer_tflm.custom_ops.reference.patch_embed import patch_embed


@given(
    seeds, st.integers(1, 13), st.integers(1, 13), st.integers(1, 3), st.integers(1, 9),
    st.integers(1, 20), st.integers(1, 10), zero_points, zero_points,
    st.sampled_from(["int8", "int16"]), st.booleans(), multipliers,
)  # fmt: skip
def test_decomposed_in_tflm_equals_the_whole_convolution_of_the_twin(
    rng, height, width, channels, patch, embed_dim, tile, zero_point, output_zero_point, dtype,
    positions, multiplier,
):  # fmt: skip
    patch = min(patch, height, width)
    image = int8(rng, 1, height, width, channels)
    weights = int8(rng, embed_dim, patch, patch, channels)
    constants = [weights, *channel_constants(rng, embed_dim, patch * patch * channels, 8)]
    tokens = -(-height // patch) * -(-width // patch)
    options = {
        "input_zero_point": zero_point,
        "output_zero_point": output_zero_point,
        "residual_multiplier": multiplier,
        "residual_shift": 7,
    }
    position = int8(rng, tokens, embed_dim) if positions else None
    found = one_op_model.run(
        "McuformerPatchEmbed", [image], constants + ([position] if positions else []),
        (1, tokens, embed_dim), options | {"patch_size": patch, "tile": tile}, dtype,
    )  # fmt: skip
    wanted = patch_embed(
        image[0], *constants, position=position, dtype=np.dtype(dtype).type, **options
    )
    np.testing.assert_array_equal(found[0], wanted)


def test_padding_stands_for_zero_the_smaller_half_first():
    image = np.full((1, 3, 3, 1), 10, np.int8)
    weights = np.ones((1, 2, 2, 1), np.int8)
    # 3 pixels and patches of 2: one pixel of padding, behind. Zero point 4, so a pixel is 6.
    found = patch_embed(
        image[0], weights, np.array([-4 * 4]), np.array([2**30]), np.array([9]), 4, 0
    )
    np.testing.assert_array_equal(found[:, 0], [24, 12, 12, 6])
