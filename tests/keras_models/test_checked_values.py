"""Numbers become Python's where they enter: equal networks are one network."""

import dataclasses
import fractions
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import checked_kinds
from mcuformer_tflm.keras_models.exceptions import ConfigError

ODD = Architecture(8, 1, 3, 4, 0.9, 4, 8, (1, 2), (2.0, 3.5))

_WHOLE = (np.uint8, np.int32, np.int64, int)
_REAL = (np.float16, np.float32, np.float64, float, fractions.Fraction)
_RATIOS = st.sampled_from([0.25, 0.5, 1.0, 2.0, 3.0])


@given(
    st.sampled_from(_WHOLE), st.sampled_from(_REAL), st.lists(_RATIOS, min_size=1, max_size=4),
    st.sampled_from([tuple, list, np.array]),
)  # fmt: skip
def test_network_is_the_same_whatever_types_its_numbers_came_in(whole, real, ratios, sequence):
    plain = Architecture(8, 1, 3, 4, 0.5, 4, 16, (1,) * len(ratios), tuple(ratios))
    mixed = [int(ratio) if ratio == int(ratio) else real(ratio) for ratio in ratios]
    other = Architecture(
        whole(8), whole(1), whole(3), whole(4), real(0.5), whole(4), whole(16),
        sequence([whole(1)] * len(ratios)), sequence(mixed),
    )  # fmt: skip
    assert other == plain
    assert hash(other) == hash(plain)
    assert other.to_json() == plain.to_json()
    assert {type(value) for value in (*other.mlp_ratio, other.rank_ratio)} == {float}
    assert {type(value) for value in (*other.num_heads, other.embed_dim)} == {int}


def test_float_of_32_bits_is_the_decimal_that_it_prints():
    network = dataclasses.replace(ODD, rank_ratio=np.float32(0.9))
    assert network == ODD
    assert network.rank == ODD.rank


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Architecture)])
@pytest.mark.parametrize(
    "value",
    ["4", b"4", "", -1, 0, -0.5, math.nan, math.inf, (), [[1], [2]], {}, {3}, object,
     np.zeros((2, 2)), np.array("mean"), (True, True), ("1", "2"), (None, None), 1j],
    ids=repr,
)  # fmt: skip
def test_what_no_field_can_be_is_refused_by_its_name(field, value):
    with pytest.raises(ConfigError, match=f"{field} (is|has)"):
        dataclasses.replace(ODD, **{field: value})


@pytest.mark.parametrize("field", ["image_size", "channels", "patch_size", "head_dim", "embed_dim"])
@pytest.mark.parametrize("value", [2**63, 10**5000], ids=["of 64 bits", "of 5,001 digits"])
def test_a_whole_number_beyond_64_bits_is_refused_by_its_field(field, value):
    with pytest.raises(ConfigError, match=f"{field} is .*; it must be at most 9,223,372"):
        dataclasses.replace(ODD, **{field: value})


@dataclasses.dataclass(frozen=True)
class Read:
    name: "str"
    count: "int | None"
    share: "float"
    pair: "tuple[int, int]" = (1, 2)


def test_a_field_of_another_type_than_it_declares_is_refused_by_its_name():
    assert checked_kinds(Read("a", None, 1)) == Read("a", None, 1)
    for wrong in ({"name": 1}, {"count": 0.5}, {"count": True}, {"share": "1"}, {"share": 10**400},
                  {"pair": [1, 2]}):  # fmt: skip
        with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is .*; it must (be|have)"):
            checked_kinds(dataclasses.replace(Read("a", 1, 0.5), **wrong))


@pytest.mark.parametrize("field", ["embed_dim", "patch_size", "rank_ratio", "image_size"])
def test_truth_value_is_no_number(field):
    with pytest.raises(ConfigError, match=f"{field} is True"):
        dataclasses.replace(ODD, **{field: True})


def test_message_shows_the_beginning_of_a_long_value():
    with pytest.raises(ConfigError) as caught:
        dataclasses.replace(ODD, embed_dim=list(range(10**5)))
    assert len(str(caught.value)) < 200
