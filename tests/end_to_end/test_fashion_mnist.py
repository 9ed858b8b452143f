"""The flow of the commands on real images, small enough for every run of the suite."""

import dataclasses
import json

import pytest

from mcuformer_tflm import MicroInterpreter, TrainingRecipe, quantize_images
from mcuformer_tflm.search.board import get_board
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.space import SearchSpace
from mcuformer_tflm.search.tuners.fit_arguments import ShortEpochs
from mcuformer_tflm.task.data import image_task
from mcuformer_tflm.task.flow import TaskSettings, run_task

RECIPE = TrainingRecipe(learning_rate=4e-3)
SETTINGS = TaskSettings(
    SearchSpace(
        image_size=28, channels=1, num_classes=10, patch_size=(7,), rank_ratio=(0.6, 0.8),
        embed_dim=(32, 48), depth=(1,), num_heads=(2, 3), mlp_ratio=(2.0,), head_dim=16,
    ),
    starts=1,
    steps=1,
    search_recipe=RECIPE,
    population=4,
    generations=1,
    train_epochs=3,
    train_recipe=RECIPE,
    quantized_epochs=1,
)  # fmt: skip
TESTED = 1_000


def task_data(data):
    few = dataclasses.replace(
        data,
        train_images=data.train_images[:7_300],
        train_classes=data.train_classes[:7_300],
        test_images=data.test_images[:TESTED],
        test_classes=data.test_classes[:TESTED],
    )
    task = image_task(few, 64, RECIPE, held_out=300)
    short = ShortEpochs(task.search, 31)
    return dataclasses.replace(task, search=short, quantized=short)


@pytest.fixture(scope="module")
def finished(fashion_mnist, tmp_path_factory):
    out = tmp_path_factory.mktemp("task")
    budget = Budget.of_board(get_board("stm32f427"), arena=12_000)
    seen = {}
    report = run_task(
        task_data(fashion_mnist), budget, out,
        lambda label, done, total, info="": seen.update({label: (done, total)}), 0, SETTINGS,
    )  # fmt: skip
    return out, report, seen


def test_int8_in_tflm_is_accurate_and_close_to_float(finished):
    _, report, _ = finished
    assert report.int8_top1 >= 0.75
    assert report.int8_top1 >= report.float_top1 - 0.02
    assert report.agreement >= 0.93


def test_chosen_model_fits_the_budget(finished):
    _, report, _ = finished
    assert report.arena_bytes <= report.sram_budget_bytes == 12_000
    assert report.flash_bytes <= report.flash_budget_bytes
    assert report.head_bytes == report.head_lower_bound_bytes


def test_file_alone_gives_the_reported_accuracy_again(finished, fashion_mnist):
    out, report, _ = finished
    interpreter = MicroInterpreter(out / "model.tflite")
    logits = interpreter.run(quantize_images(fashion_mnist.test_images[:TESTED]))
    hits = logits.argmax(-1) == fashion_mnist.test_classes[:TESTED]
    assert hits.mean() == report.int8_top1


def test_results_are_complete_and_nothing_else_is_left(finished):
    out, report, seen = finished
    assert sorted(path.name for path in out.iterdir()) == [
        "front.png", "memory_map.png", "model.tflite", "record.json", "report.html",
        "report.json", "sqnr.png",
    ]  # fmt: skip
    shown = (out / "report.html").read_text()
    for part in ("evolution", "front-arena", "curve-2", "memory", "instructions", "sqnr",
                 "confusion", "pictures"):  # fmt: skip
        assert f'id="{part}"' in shown
    written = json.loads((out / "report.json").read_text())
    for key in ("board", "float_top1", "int8_top1", "agreement", "arena_bytes",
                "arena_bytes_host", "flash_bytes", "eq5_bytes", "seconds", "seed"):  # fmt: skip
        assert written[key] == getattr(report, key)
    assert all(done == total for done, total in seen.values()), seen
