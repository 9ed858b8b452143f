"""A run that was broken off goes on with what it came from, and with nothing else."""

import dataclasses
import json

import numpy as np
import pytest
import tf_keras
from op_by_op import op_by_op

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.keras_models.training.batches import batches
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.search.board import get_board
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.cost.milliseconds import estimate_cost
from mcuformer_tflm.search.space import SearchSpace
from mcuformer_tflm.search.tuners.scoring import ScoreSettings
from mcuformer_tflm.task import stages
from mcuformer_tflm.task.data import TaskData
from mcuformer_tflm.task.flow import TaskSettings, run_task
from mcuformer_tflm.task.page.record import RunRecord

pytestmark = pytest.mark.usefixtures("op_by_op")
SPACE = SearchSpace(
    image_size=8, channels=1, num_classes=3, patch_size=(4,), rank_ratio=(0.5,),
    embed_dim=(8,), depth=(1,), num_heads=(1, 2), mlp_ratio=(2.0,), head_dim=4,
)  # fmt: skip
SETTINGS = TaskSettings(
    SPACE, starts=1, steps=1, search_epochs=1,
    score=ScoreSettings(accuracy_samples=1, fit_samples=2), population=2, generations=0,
    train_recipe=TrainingRecipe(distillation_weight=0.5), train_epochs=1, quantized_epochs=1,
)  # fmt: skip
# Integer operators are not what is tested, and take a while to trace.
QUICK = QuantizationConfig(integer_operators=False)
BUDGET = Budget(
    10**6, 10**6, "roomy", quantization=QUICK, milliseconds=1000.0, board=get_board("stm32f746")
)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (80, 8, 8, 1), np.uint8)
CLASSES = RNG.integers(0, 3, 80, dtype=np.int32)


def task_data(images=IMAGES, classes=CLASSES):
    floats = (images.astype(np.float32) - 128) / 128
    train = batches(floats[:64], classes[:64], 16, num_classes=3)
    return TaskData(
        ("a", "b", "c"), train, train, train, (floats[64:], classes[64:]),
        (images[64:], classes[64:]),
    )  # fmt: skip


def quiet(label, done, total, info=""):
    pass


def broken_off(out, at):
    def interrupt(label, done, total, info=""):
        if label.startswith(at):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_task(task_data(), BUDGET, out, interrupt, 0, SETTINGS)


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    with op_by_op():
        broken_off(out, "spaces scored")
    return out


def changed(array, place):
    other = array.copy()
    other[place] = (other[place] + 1) % 3
    return other


def teacher():
    tf_keras.utils.set_random_seed(5)
    return build_subnet(SPACE.largest())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"data": lambda: task_data(images=changed(IMAGES, 0))}, "train.images"),
        ({"data": lambda: task_data(classes=changed(CLASSES, 0))}, "quantized.classes"),
        ({"data": lambda: task_data(classes=changed(CLASSES, 70))}, "validation.classes"),
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"budget": dataclasses.replace(BUDGET, arena=9 * 10**5)}, "budget.arena is 1000000"),
        (
            {"budget": dataclasses.replace(BUDGET, milliseconds=900)},
            "budget.milliseconds is 1000.0 there and 900.0 here",
        ),
        ({"settings": dataclasses.replace(SETTINGS, train_epochs=2)}, "settings.train_epochs is 1"),
        ({"teacher": teacher}, "teacher is None"),
    ],
)
def test_run_of_other_data_or_options_is_refused_by_its_fields(unfinished, change, field):
    data = change.get("data", task_data)()
    with pytest.raises(ConfigError) as refusal:
        run_task(
            data, change.get("budget", BUDGET), unfinished, pytest.fail, change.get("seed", 0),
            change.get("settings", SETTINGS), teacher=change.get("teacher", lambda: None)(),
        )  # fmt: skip
    assert f" {field}" in str(refusal.value)
    assert f"remove {unfinished / 'unfinished-run'} to start anew" in str(refusal.value)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_supernets_follow_the_teacher_where_their_recipe_distils(tmp_path, monkeypatch, share):
    given = []

    def tuner(*arguments, **options):
        given.append(options["teacher"])
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "SupernetTuner", tuner)
    recipe, network = TrainingRecipe(distillation_weight=share), teacher()
    settings = dataclasses.replace(SETTINGS, search_recipe=recipe)
    with pytest.raises(KeyboardInterrupt):
        run_task(task_data(), BUDGET, tmp_path, quiet, 0, settings, teacher=network)
    assert given == [network if share else None]


def test_unfinished_run_goes_on_to_the_model_of_a_whole_one(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "page", lambda *_: "")  # has tests of its own
    whole = run_task(task_data(), BUDGET, tmp_path / "whole", quiet, 0, SETTINGS)
    broken_off(tmp_path / "cut", "train it quantized")
    cut = run_task(task_data(), BUDGET, tmp_path / "cut", quiet, 0, SETTINGS)
    models = [(tmp_path / part / "model.tflite").read_bytes() for part in ("whole", "cut")]
    assert models[0] == models[1]
    assert dataclasses.replace(whole, seconds=0) == dataclasses.replace(cut, seconds=0)
    records = [RunRecord.read(tmp_path / part / "record.json") for part in ("whole", "cut")]
    assert records[0] == records[1], "curves and path too, of which a part was before the kill"
    assert [curve.steps for curve in records[0].curves] == [4, 4, 4]
    assert json.loads((tmp_path / "cut" / "report.json").read_text())["seed"] == 0
    told = estimate_cost(Architecture.from_json(whole.architecture), "stm32f746")
    assert whole.instructions_estimated == pytest.approx(told.instructions, rel=0.1)
    assert 0 < whole.milliseconds_estimated < whole.milliseconds_budget == 1000
    cells = [str(cell) for column in whole.table().columns for cell in column.cells]
    assert "milliseconds of an inference (estimate)" in cells
    assert "1,000" in cells
    assert sorted(path.name for path in (tmp_path / "cut").iterdir()) == [
        "front.png", "memory_map.png", "model.tflite", "record.json", "report.html",
        "report.json", "sqnr.png",
    ]  # fmt: skip
