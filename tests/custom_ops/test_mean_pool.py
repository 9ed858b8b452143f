import numpy as np
import one_op_model
from drawn import int8, seeds, zero_points
from hypothesis import given
from hypothesis import strategies as st

from mcuformer_tflm.custom_ops.reference.fixed_point import quantize_multiplier
from mcuformer_tflm.custom_ops.reference.mean_pool import mean_pool


@given(seeds, st.integers(1, 60), st.integers(1, 70), zero_points, zero_points)
def test_tflm_equals_twin_and_float64_mean(rng, tokens, width, zero_point, output_zero_point):
    x = int8(rng, 1, tokens, width)
    multiplier, shift = quantize_multiplier(0.7 / tokens)
    options = {
        "input_zero_point": zero_point,
        "output_zero_point": output_zero_point,
        "multiplier": multiplier,
        "shift": shift,
    }
    found = one_op_model.run("McuformerMeanPool", [x], [], (1, width), options)
    np.testing.assert_array_equal(found, mean_pool(x[0], **options))
    wanted = (x[0].astype(np.float64) - zero_point).mean(0) * 0.7 + output_zero_point
    # Half a unit for each of the two roundings of the fixed-point product.
    assert np.abs(found[0] - np.clip(wanted, -128, 127)).max() <= 1
