"""The demo's own flow on real images, small enough for every run of the suite."""

import json

import pytest

from mcuformer_tflm import MicroInterpreter, quantize_images
from mcuformer_tflm.search.board import get_board
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.space import SearchSpace
from mcuformer_tflm.task.demo import DemoSettings, run_demo

SETTINGS = DemoSettings(
    space=SearchSpace(
        image_size=28, channels=1, num_classes=10, patch_size=(7,), rank_ratio=(0.6, 0.8),
        embed_dim=(32, 48), depth=(1,), num_heads=(2, 3), mlp_ratio=(2.0,), head_dim=16,
    ),
    search_images=2_000,
    validation_images=300,
    starts=1,
    steps=1,
    population=4,
    generations=1,
    train_images=7_000,
    train_epochs=3,
    quantized_images=2_000,
    quantized_epochs=1,
    batch_size=64,
    learning_rate=4e-3,
    test_images=1_000,
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(fashion_mnist, tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    budget = Budget.of_board(get_board("stm32f427"), arena=12_000)
    seen = {}
    report = run_demo(
        fashion_mnist, budget, out,
        lambda label, done, total, info="": seen.update({label: (done, total)}),
        settings=SETTINGS,
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
    count = SETTINGS.test_images
    logits = interpreter.run(quantize_images(fashion_mnist.test_images[:count]))
    hits = logits.argmax(-1) == fashion_mnist.test_classes[:count]
    assert hits.mean() == report.int8_top1


def test_results_are_complete_and_nothing_else_is_left(finished):
    out, report, seen = finished
    assert sorted(path.name for path in out.iterdir()) == [
        "memory_map.png", "model.tflite", "report.json", "sqnr.png",
    ]  # fmt: skip
    written = json.loads((out / "report.json").read_text())
    for key in ("board", "float_top1", "int8_top1", "agreement", "arena_bytes",
                "arena_bytes_host", "flash_bytes", "eq5_bytes", "seconds", "seed"):  # fmt: skip
        assert written[key] == getattr(report, key)
    assert all(done == total for done, total in seen.values()), seen
