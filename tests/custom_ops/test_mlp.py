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
from on_cortex_m import assert_equals_twin

from mcuformer_tflm.custom_ops.reference.dot import pack_weights
from mcuformer_tflm.custom_ops.reference.mlp import mlp, scratch_bytes
from mcuformer_tflm.emulator.machine import Buffer, Struct
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
    names = ("fc1_rank_zero_point", "hidden_zero_point", "fc2_rank_zero_point",
             "output_zero_point", "residual_zero_point", "residual_multiplier",
             "residual_shift")  # fmt: skip
    normalisation = (norm_options[name] for name in ("epsilon", "iterations", "normalised_bits"))
    fields = (options.get(name, 0) for name in names)
    rank = rank if low_rank else 0
    pairs = list(zip(packed[::2], packed[1::2], strict=True))
    if not low_rank:
        pairs = [(None, None), pairs[0], (None, None), pairs[1]]
    stream = Buffer(x[0])
    assert_equals_twin(
        wanted, f"mcuformer::Mlp<{'signed char' if x.dtype == np.int8 else 'short'}>",
        Struct((tokens, width, hidden, rank, *fields, width, *normalisation)),
        Struct((gamma, beta, table, *(part for pair in pairs for part in (*pair, bits)))),
        stream, Buffer(np.zeros(scratch_bytes(width, hidden, rank), np.int8)), stream,
    )  # fmt: skip
