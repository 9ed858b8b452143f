"""The examples of the paper's other tasks, on small data that scripts make."""

import json
import shutil

import pytest
from example import run_example

from mcuformer_tflm import (
    KEYWORD_98X40_SPACE,
    KEYWORD_SPACE,
    PERSON_SPACE,
    MicroInterpreter,
    get_board,
)
from mcuformer_tflm import data as datasets
from mcuformer_tflm.search.cost.budget import Budget

# Their flow is run in graphs by test_fashion_mnist.py.
pytestmark = pytest.mark.usefixtures("op_by_op")


def check(out, printed, image_shape, name=None):
    """Checks the results, and the reported accuracy by the data set's name alone."""
    interpreter = MicroInterpreter(out / "model.tflite")
    report = json.loads((out / "report.json").read_text())
    assert interpreter.architecture.image_shape == image_shape
    assert interpreter.architecture.depth == 2
    assert 0 < report["arena_bytes"] <= report["sram_budget_bytes"]
    assert f"{report['int8_top1']:.2%}" in printed
    assert f"{report['arena_bytes']:,}" in printed
    assert sorted(path.name for path in out.iterdir()) == [
        "front.png", "memory_map.png", "model.tflite", "record.json", "report.html",
        "report.json", "sqnr.png",
    ]  # fmt: skip
    if name is not None:
        data = datasets.load(name)
        logits = interpreter.run(datasets.quantize_images(data.test_images))
        assert (logits.argmax(-1) == data.test_classes).mean() == report["int8_top1"]
    return interpreter


@pytest.mark.parametrize("space", [KEYWORD_SPACE, KEYWORD_98X40_SPACE, PERSON_SPACE])
def test_boards_of_256_kb_hold_every_network_of_the_spaces(space):
    budget = Budget.of_board(get_board("stm32f427"))
    assert budget.holds(space.largest())
    assert budget.fits(space.smallest()), "in flash, too"


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="make setup installs espeak-ng")
def test_key_words_from_speech_to_a_model_that_hears_them(tmp_path, capsys):
    words, out = tmp_path / "words", tmp_path / "out"
    run_example(capsys, "make_spoken_words.py", words, "--speakers", 14, "--words", "yes,no,happy")
    printed = run_example(capsys, "keyword_spotting.py", "--data", words, "--out", out, "--smoke")
    interpreter = check(out, printed, (49, 10, 1), f"speech-commands:{words}")
    assert interpreter.labels == ("yes", "no", "unknown", "silence")


def test_person_presence_from_pictures_to_a_model(tmp_path, capsys):
    pictures, out = tmp_path / "pictures", tmp_path / "out"
    run_example(capsys, "make_person_pictures.py", pictures, "--pictures", 24)
    printed = run_example(capsys, "person_presence.py", "--data", pictures, "--out", out, "--smoke")
    interpreter = check(out, printed, (96, 96, 1), f"images-96x96x1:{pictures}")
    assert interpreter.labels == ("notperson", "person")


def test_imagenet_recipe_runs_a_smoke_epoch_on_class_folders(tmp_path, capsys):
    pictures, out = tmp_path / "pictures", tmp_path / "out"
    run_example(capsys, "make_person_pictures.py", pictures, "--pictures", 12)
    printed = run_example(capsys, "imagenet.py", "--data", pictures, "--out", out, "--smoke")
    check(out, printed, (240, 240, 3))
