import numpy as np
import one_op_model
from drawn import (
    channel_constants,
    gelu_table,
    int4,
    int8,
    int16,
    multipliers,
    norm,
    seeds,
    zero_points,
)
from hypothesis import given
from hypothesis import strategies as st

from mcuformer_tflm.custom_ops.reference.dot import pack_weights
from mcuformer_tflm.custom_ops.reference.mlp import mlp
from mcuformer_tflm.plan import plan_memory, write_plan

sizes = st.integers(1, 40)


@given(
    seeds, st.integers(1, 20), sizes, sizes, sizes, st.booleans(), st.sampled_from([8, 4]),
    st.sampled_from([int8, int16]), zero_points, multipliers, st.booleans(),
)  # fmt: skip
def test_one_pass_in_tflm_equals_the_layers_of_the_twin(
    rng, tokens, width, hidden, rank, low_rank, bits, draw, zero_point, multiplier, overwrites
):
    shapes = [(rank, width), (hidden, rank), (rank, hidden), (width, rank)]
    if not low_rank:
        shapes = [(hidden, width), (width, hidden)]
    layers = []
    for index, (units, inner) in enumerate(shapes):
        weights = (int4 if bits == 4 else int8)(rng, units, inner)
        extra_bits = 8 if index + 1 == len(shapes) else 0
        layers.append((weights, channel_constants(rng, units, inner, extra_bits)))
    x = draw(rng, 1, tokens, width)
    gamma, beta, norm_options = norm(rng, width)
    table = gelu_table(rng)
    options = {
        "hidden_zero_point": 5,
        "output_zero_point": zero_point,
        "residual_zero_point": -zero_point,
        "residual_multiplier": multiplier,
        "residual_shift": 8,
    }
    if low_rank:
        options |= {"fc1_rank_zero_point": -7, "fc2_rank_zero_point": 9}
    packed = [part for weights, constants in layers
              for part in (pack_weights(weights, bits), constants)]  # fmt: skip
    model = one_op_model.build(
        "McuformerMlp", [x], [gamma, beta, table, *packed], x.shape,
        options | norm_options | {"weight_bits": bits}, str(x.dtype),
    )  # fmt: skip
    if overwrites:
        plan = plan_memory(model)
        assert len({b.offset for b in plan.buffers if b.tensor is not None}) == 1
        model = write_plan(model, plan)
    found = one_op_model.run_model(model, [x])
    wanted = mlp(x[0], gamma, beta, table, layers, norm_options, **options)
    assert found.dtype == x.dtype
    np.testing.assert_array_equal(found[0], wanted)
