"""Arguments of a few allowed values: what is none of them is refused, wherever it enters."""

import contextlib
import inspect
import re
from collections.abc import Iterator
from typing import Literal, get_origin

import numpy as np
import pytest
from public_names import public_functions, public_values

from mcuformer_tflm import QuantizationConfig, SearchSpace, convert, plan_memory
from mcuformer_tflm.data.speech_commands import SpeechCommands
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import BudgetError, ConfigError
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
from mcuformer_tflm.search.board import Board, SramRegion, get_board
from mcuformer_tflm.search.cost.activation_memory import arena_bytes, fits_regions
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.cost.memory import eq5_bytes, flash_bytes, weight_bytes
from mcuformer_tflm.search.cost.schedule import choose_kept, kept_arena_bytes
from mcuformer_tflm.search.cost.summary import summary
from mcuformer_tflm.search.oracles.space_evolution import SpaceEvolution
from mcuformer_tflm.tflite.model_graph import read_graph

ARCHITECTURE = Architecture(8, 1, 3, 4, 0.5, 4, 8, (1,), (2.0,))
SPACE = SearchSpace(
    8, 1, num_classes=3, patch_size=(4,), rank_ratio=(0.5,), embed_dim=(8,), depth=(1,),
    num_heads=(1,), mlp_ratio=(2.0,), head_dim=4,
)  # fmt: skip
BUDGET = Budget.of_board("stm32f746")
PACKAGES = (None, "data", "keras_models", "plan", "runtime", "search")
# Records that this package alone makes.
OWN_RECORDS = {"BuiltinData", "Walk"}
# Stands for an argument that is not reached.
NOTHING = object()


@pytest.fixture(scope="module")
def quantized():
    images = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 1)).astype(np.float32)
    return build_subnet(ARCHITECTURE).quantized_copy([images])


def _is_choice(function, parameter):
    hint = parameter.annotation
    if isinstance(hint, str):
        with contextlib.suppress(NameError):  # of a module that is imported for types alone
            hint = eval(hint, inspect.unwrap(function).__globals__)
    return get_origin(hint) is Literal


def _run(function, **arguments):
    result = function(**arguments)
    return list(result) if isinstance(result, Iterator) else result


def choices():
    """All public arguments whose type is an enumeration, as (package, name, argument)."""
    found = {}
    for package in PACKAGES:
        for name, function in public_functions(package):
            for parameter in inspect.signature(function).parameters.values():
                if _is_choice(function, parameter) and name not in OWN_RECORDS:
                    found.setdefault((name, parameter.name), package)
    return sorted((package or "", *key) for key, package in found.items())


def test_the_sweep_finds_the_enumerations_that_there_are():
    assert {argument for _, _, argument in choices()} == {
        "image", "inherit", "memory", "part", "place", "planner", "pooling", "precision",
        "schedule", "start", "stem", "subnets", "update",
    }  # fmt: skip


@pytest.mark.parametrize(("package", "name", "argument"), choices())
def test_a_value_that_is_not_allowed_is_refused_by_name(package, name, argument, quantized):
    owner, _, method = name.partition(".")
    function = public_values(package or None)[owner]
    if method:
        instances = {"Budget": BUDGET, "SpeechCommands": object.__new__(SpeechCommands)}
        function = getattr(instances[owner], method)
    given = {
        "architecture": ARCHITECTURE,
        "arena_budget": 10**6,
        "board": "stm32f746",
        "budget": BUDGET,
        "core": "cortex-m7",
        "kept": (),
        "labels": ("a", "b", "c"),
        "largest": ARCHITECTURE,
        "limits": (2, 2),
        "oracle": SpaceEvolution(SPACE),
        "point": (0, 0),
        "regions": (10**6,),
        "rng": np.random.default_rng(0),
        "slopes": (0.0, 0.0),
        "space": SPACE,
        "subnet": quantized,
        "thresholds": (1.0, 1.0),
        **{field: getattr(ARCHITECTURE, field) for field in vars(ARCHITECTURE)},
    }
    needed = {
        parameter.name: given.get(parameter.name, NOTHING)
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty and parameter.kind != parameter.VAR_KEYWORD
    }
    for wrong in ("stripes", True, None, QuantizationConfig()):
        with pytest.raises(
            ConfigError, match=f"^{argument} is {re.escape(repr(wrong)[:40])}.*; allow"
        ):
            _run(function, **{**needed, argument: wrong})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda config: arena_bytes(ARCHITECTURE, config), "image is QuantizationConfig"),
        (lambda config: flash_bytes(ARCHITECTURE, config), "core is QuantizationConfig"),
        (lambda config: flash_bytes(ARCHITECTURE, "cortexm4"), "core is 'cortexm4'"),
        (lambda config: arena_bytes(config), "architecture is QuantizationConfig"),
        (lambda config: arena_bytes(ARCHITECTURE, quantization=16), "quantization is 16"),
        (lambda config: weight_bytes(ARCHITECTURE, 4), "quantization is 4"),
        (lambda config: summary(ARCHITECTURE, "whole"), "quantization is 'whole'"),
        (lambda config: build_subnet(ARCHITECTURE, 8), "quantization is 8"),
        (lambda config: build_subnet(config), "architecture is QuantizationConfig"),
        (lambda config: fits_regions(ARCHITECTURE, config), "regions is QuantizationConfig"),
        (lambda config: kept_arena_bytes(ARCHITECTURE, config), "kept is QuantizationConfig"),
        (lambda config: kept_arena_bytes(ARCHITECTURE, [1]), "kept is 1; it must be at most 0"),
        (lambda config: choose_kept(ARCHITECTURE, config), "arena_budget is QuantizationConfig"),
        (lambda config: eq5_bytes(ARCHITECTURE, config), "class_token is QuantizationConfig"),
        (lambda config: get_board(config), "board is QuantizationConfig"),
        (lambda config: Budget(10**6, 10**6, "mine", quantization=8), "quantization is 8"),
        (lambda config: Board("mine", "m4", (SramRegion("a", 0, 1),), 1), "core is 'm4'"),
        (lambda config: Board("mine", "cortex-m4", (), 1), "sram_regions is"),
    ],
)
def test_an_argument_in_the_place_of_another_is_refused(call, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        call(QuantizationConfig(residual_bits=16))


@pytest.mark.parametrize("image", ["whole", "strips"])
@pytest.mark.parametrize("schedule", ["auto", "paper"])
def test_an_arena_budget_is_never_exceeded_and_the_least_is_told(quantized, schedule, image):
    def converted(budget):
        return convert(
            quantized, ("a", "b", "c"), schedule=schedule, image=image, arena_budget=budget
        )

    streamed = convert(quantized, ("a", "b", "c"), schedule="streamed", image=image)
    least = cortex_m_arena_bytes(read_graph(streamed), plan_memory(streamed))
    graph = read_graph(converted(10**6))
    needed = least if schedule == "auto" else cortex_m_arena_bytes(graph, plan_memory(graph))
    kept = read_graph(converted(needed))
    assert cortex_m_arena_bytes(kept, plan_memory(kept)) == needed
    for budget in (needed - 1, 1, 0, -5):
        with pytest.raises(BudgetError, match=f"arena_budget is {budget:,} bytes.* is {least:,}"):
            converted(budget)
    with pytest.raises(ConfigError, match="arena_budget is '64 KiB'"):
        converted("64 KiB")


def test_a_reserve_below_zero_lends_no_memory_that_a_board_has_not(quantized):
    model = convert(quantized, ("a", "b", "c"))
    with pytest.raises(ConfigError, match="reserve is -16"):
        plan_memory(model, "stm32f746", reserve=-16)
