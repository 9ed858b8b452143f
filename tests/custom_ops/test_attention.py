import numpy as np
import one_op_model
from drawn import int8, seeds, zero_points
from hypothesis import given
from hypothesis import strategies as st

from mcuformer_tflm.custom_ops.reference.attention import attention, exp_table
from mcuformer_tflm.custom_ops.reference.fixed_point import quantize_multiplier


def _options(heads, head_dim, zero_points, score, context):
    names = ("q_zero_point", "k_zero_point", "v_zero_point", "output_zero_point")
    score_multiplier, score_shift = quantize_multiplier(score)
    context_multiplier, context_shift = quantize_multiplier(context)
    return {
        "num_heads": heads,
        "head_dim": head_dim,
        **dict(zip(names, zero_points, strict=True)),
        "score_multiplier": score_multiplier,
        "score_shift": score_shift,
        "context_multiplier": context_multiplier,
        "context_shift": context_shift,
    }


@given(
    seeds, st.integers(1, 30), st.integers(1, 4), st.integers(1, 17),
    st.tuples(*[zero_points] * 4), st.sampled_from([1e-4, 0.004, 0.1, 30.0]),
)  # fmt: skip
def test_tflm_equals_twin_for_any_shape(rng, tokens, heads, head_dim, points, score):
    qkv = int8(rng, 1, tokens, 3 * heads * head_dim)
    options = _options(heads, head_dim, points, score, 0.8 / 256)
    table = exp_table(0.05)
    shape = (1, tokens, heads * head_dim)
    found = one_op_model.run("McuformerAttention", [qkv], [table], shape, options)
    np.testing.assert_array_equal(found[0], attention(qkv[0], table, **options))


def test_error_against_float64_is_below_three_units():
    rng = np.random.default_rng(5)
    tokens, heads, head_dim, scale = 49, 2, 16, 0.02
    qkv = np.clip(rng.normal(0, 45, (tokens, 3 * heads * head_dim)), -128, 127).astype(np.int8)
    options = _options(heads, head_dim, (0, 0, 0, 0), scale * scale / head_dim**0.5 / 0.05, 1 / 256)
    found = attention(qkv, exp_table(0.05), **options)
    parts = scale * qkv.astype(np.float64).reshape(tokens, 3, heads, head_dim)
    query, key, value = parts.transpose(1, 2, 0, 3)
    logits = query @ key.transpose(0, 2, 1) / head_dim**0.5
    probability = np.exp(logits - logits.max(-1, keepdims=True))
    probability /= probability.sum(-1, keepdims=True)
    wanted = (probability @ value).transpose(1, 0, 2).reshape(tokens, -1) / scale
    error = np.abs(found - wanted)
    # 49 probabilities, each rounded to 1/512 at random, times values of deviation 45:
    # sqrt(49) * 45 / 256 / sqrt(12) = 0.36 units of deviation, and the logits' rounding.
    assert error.mean() < 0.8
    assert error.max() < 3


def test_probabilities_of_equal_logits_average_the_values():
    qkv = np.zeros((4, 3), np.int8)
    qkv[:, 2] = (8, 16, 24, 32)
    options = _options(1, 1, (0, 0, 0, 0), 1.0, 1 / 256)
    np.testing.assert_array_equal(attention(qkv, exp_table(0.05), **options), [[20]] * 4)
