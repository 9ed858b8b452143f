"""Adapters refuse what their kernels could not bear: inputs, options and places in memory."""

import dataclasses

import numpy as np
import one_op_model
import pytest
from drawn import channel_constants, gelu_table, int8, norm

from mcuformer_tflm.custom_ops.reference.attention import exp_table, pack_qkv
from mcuformer_tflm.custom_ops.reference.dot import pack_weights
from mcuformer_tflm.custom_ops.reference.patch_embed import MODES, pack_patch_weights
from mcuformer_tflm.plan import plan_memory, write_plan
from mcuformer_tflm.runtime.tflm import open_interpreter

TOKENS, WIDTH, HIDDEN, RANK = 16, 4, 6, 3
RESIDUAL = {"residual_zero_point": 0, "residual_multiplier": 2**30, "residual_shift": 8}


@dataclasses.dataclass(frozen=True)
class Operator:
    """One that its adapter takes as it is.

    ``activations`` are the model's inputs, the first the operator's first; ``inputs`` the others
    in order, an int for one of the activations.
    """

    code: str
    activations: tuple
    inputs: tuple
    shape: tuple
    options: dict

    def changed(self, **change):
        """The same with other options, and at the places ``input_<n>`` with other inputs."""
        inputs, options = list(self.inputs), dict(self.options)
        for name, value in change.items():
            if name.startswith("input_"):
                inputs[int(name.removeprefix("input_"))] = value
            else:
                options[name] = value
        known = ("shape", "activations")
        fields = {name: options.pop(name) for name in known if name in options}
        return dataclasses.replace(self, inputs=tuple(inputs), options=options, **fields)

    @property
    def arguments(self):
        return self.code, list(self.activations), list(self.inputs), self.shape, self.options

    def model(self):
        return one_op_model.build(*self.arguments)


def _layer(rng, units, width):
    return pack_weights(int8(rng, units, width)), channel_constants(rng, units, width, 8)


def _operators():
    rng = np.random.default_rng(0)
    x = int8(rng, 1, TOKENS, WIDTH)
    gamma, beta, norm_options = norm(rng, WIDTH)
    bits = {"weight_bits": 8, "output_zero_point": 0}
    table, exponentials = gelu_table(rng), exp_table(0.05)
    score = {"score_multiplier": 2**30, "score_shift": -7, "context_multiplier": 2**30,
             "context_shift": -15, "num_heads": 1, "head_dim": 2, **bits}  # fmt: skip
    qkv = pack_qkv(int8(rng, 6, WIDTH), channel_constants(rng, 6, WIDTH), 1, 2)
    patches = pack_patch_weights(int8(rng, WIDTH, 2, 2, 1), 2), channel_constants(rng, WIDTH, 4, 8)
    stem = {"mode": 0, "image_height": 8, "patch_size": 2, "tile": 2, "input_zero_point": 0,
            "output_zero_point": 0, "position_multiplier": 0, "position_shift": 0}  # fmt: skip
    mlp = {"hidden_zero_point": 0, **RESIDUAL, **norm_options, **bits}
    shape = x.shape
    yield "layer", Operator(
        "McuformerFullyConnected", (x,), (None, None, *_layer(rng, WIDTH, WIDTH)), shape,
        {"in_place": 0, **bits},
    )  # fmt: skip
    yield "pair", Operator(
        "McuformerFullyConnected", (x,),
        (None, None, *_layer(rng, RANK, WIDTH), *_layer(rng, WIDTH, RANK)), shape,
        {"in_place": 0, "rank_zero_point": 0, **bits},
    )  # fmt: skip
    yield "residual", Operator(
        "McuformerFullyConnected", (x, x), (1, None, *_layer(rng, WIDTH, WIDTH)), shape,
        {"in_place": 0, **RESIDUAL, **bits},
    )  # fmt: skip
    yield "mlp", Operator(
        "McuformerMlp", (x,),
        (gamma, beta, table, *_layer(rng, HIDDEN, WIDTH), *_layer(rng, WIDTH, HIDDEN)), shape, mlp,
    )  # fmt: skip
    yield "heads", Operator(
        "McuformerAttention", (x,), (exponentials, gamma, beta, *qkv), (1, TOKENS, 2),
        score | norm_options,
    )  # fmt: skip
    yield (
        "given heads",
        Operator(
            "McuformerAttention", (int8(rng, 1, TOKENS, 6),), (exponentials,), (1, TOKENS, 2), score
        ),
    )
    yield (
        "stem",
        Operator(
            "McuformerPatchEmbed", (int8(rng, 1, 8, 8, 1),), patches, (1, TOKENS, WIDTH), stem
        ),
    )
    yield "norm", Operator("McuformerLayerNorm", (x,), (gamma, beta), shape, norm_options)
    sum_options = {
        f"{name}_{part}": value
        for name in ("first", "second", "output")
        for part, value in (("zero_point", 0), ("multiplier", 2**30), ("shift", -1))
    }
    yield "sum", Operator("McuformerAdd", (x, x), (1,), shape, sum_options)


OPERATORS = dict(_operators())


def _constants(place, column, value):
    def changed(operator):
        constants = operator.inputs[place].copy()
        constants[-1, column] = value
        return operator.changed(**{f"input_{place}": constants})

    return changed


CASES = [
    ("layer", {"weight_bits": 5}, "option weight_bits is 5; allowed: 4, 8"),
    ("layer", {"in_place": 2}, "option in_place is 2; allowed: 0 to 1"),
    ("layer", {"input_1": np.zeros(255, np.int8)}, "gelu table has 255 elements; needed: 256"),
    ("layer", {"input_2": 0}, "layer has 64 elements; needed: 16"),
    ("layer", _constants(3, 1, -1), "layer has a multiplier below 0 or a shift beyond 31 at"),
    ("layer", _constants(3, 2, 32), "layer has a multiplier below 0 or a shift beyond 31 at"),
    ("layer", _constants(3, 2, -32), "layer has a multiplier below 0 or a shift beyond 31 at"),
    ("pair", {"rank_zero_point": 128}, "option rank_zero_point is 128; allowed: -128 to 127"),
    ("pair", {"input_4": np.zeros(17, np.int8)}, "second layer has 17 elements; needed: 16"),
    ("residual", {"in_place": 1}, "a residual excludes in_place and a gelu table"),
    ("residual", {"input_1": np.zeros(256, np.int8)}, "a residual excludes in_place and a gelu"),
    ("residual", {"residual_shift": -32}, "option residual_shift is -32; allowed: -31 to 31"),
    ("residual", {"shape": (1, TOKENS // 2, 2 * WIDTH)}, "output has rows 8; allowed: 16 to 16"),
    ("mlp", {"input_2": np.zeros(255, np.int8)}, "gelu table has 255 elements; needed: 256"),
    ("mlp", {"input_5": np.zeros(33, np.int8)}, "fc2_v has 33 elements; needed: 32"),
    ("mlp", {"shape": (1, TOKENS, WIDTH + 1)}, "output has width 5; allowed: 4 to 4"),
    ("mlp", {"hidden_zero_point": 128}, "option hidden_zero_point is 128; allowed: -128 to 127"),
    ("heads", {"input_3": np.zeros(25, np.int8)}, "weights has 25 elements; needed: 24"),
    ("heads", {"input_4": np.zeros((5, 3), np.int32)}, "constants has 15 elements; needed: 18"),
    ("heads", {"input_0": exp_table(0.05) * np.int16(0)}, "exp table must start above 0"),
    ("heads", {"input_0": np.append(exp_table(0.05)[:-1], np.int16(-1))}, "exp table must start"),
    ("given heads", {"activations": (np.zeros((1, TOKENS, 7), np.int8),)},
     "input has width 7; allowed: 6 to 6"),
    ("stem", {"mode": 3}, "option mode is 3; allowed: 0 to 2"),
    ("stem", {"image_height": 7}, "option image_height is 7; allowed: 8 to 8"),
    ("stem", {"patch_size": 9}, "option patch_size is 9; allowed: 1 to 8"),
    ("stem", {"activations": (np.zeros((1, 8, 5, 1), np.int8),), "patch_size": 6},
     "option patch_size is 6; allowed: 1 to 5"),
    ("stem", {"tile": 0}, "option tile is 0; allowed: 1 to 65536"),
    ("stem", {"mode": MODES.index("strips")}, "strip has height 8; allowed: 2 to 2"),
    ("stem", {"shape": (1, TOKENS + 1, WIDTH)}, "output must have a row a patch"),
    ("stem", {"input_0": np.zeros(17, np.int8)}, "weights has 17 elements; needed: 16"),
    ("stem", {"activations": (np.zeros((1, 257, 257, 1), np.int8),), "patch_size": 257,
              "image_height": 257}, "a patch has more than 65536 values"),
]  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_each_of_these_operators_is_taken_as_it_is(name):
    operator = OPERATORS[name]
    one_op_model.run_model(operator.model(), operator.activations)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    CASES,
    ids=lambda value: "changed" if callable(value) else str(value)[:50],
)
def test_with_one_change_it_is_refused_with_a_named_reason(name, change, reason):
    operator = OPERATORS[name]
    operator = change(operator) if callable(change) else operator.changed(**change)
    assert f"{operator.code}: {reason}" in one_op_model.rejection(*operator.arguments)


@pytest.mark.parametrize("by", [-16, 0, 16])
@pytest.mark.parametrize(
    ("name", "over", "allowed"),
    [("layer", 0, False), ("residual", 0, False), ("residual", 1, True), ("mlp", 0, True),
     ("heads", 0, False), ("given heads", 0, False), ("stem", 0, False), ("norm", 0, True),
     ("sum", 0, True), ("sum", 1, True)],
)  # fmt: skip
def test_an_output_over_an_input_is_refused_but_from_the_start_of_one_that_may_be_overwritten(
    name, over, allowed, by
):
    operator = OPERATORS[name]
    model = operator.model()
    plan = plan_memory(model)
    # Room for each beside all others, but for the output.
    places = {b.tensor: 1024 * (1 + number) for number, b in enumerate(plan.buffers)}
    source, output = plan.buffers[over], plan.buffers[len(operator.activations)]
    assert operator.shape[-1] in (2, WIDTH)
    places[output.tensor] = places[source.tensor] + by
    moved = tuple(dataclasses.replace(b, offset=places[b.tensor]) for b in plan.buffers)
    interpreter = open_interpreter(
        write_plan(model, dataclasses.replace(plan, buffers=moved)), 1 << 20
    )
    for index, x in enumerate(operator.activations):
        interpreter.set_input(x, index)
    if allowed and by == 0:
        interpreter.invoke()
    else:
        with pytest.raises(RuntimeError):
            interpreter.invoke()
