"""Every command and every public function, with each argument wrong in ten ways."""

import dataclasses
import importlib
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from mcuformer_tflm import datasets
from mcuformer_tflm.bench import SUITES
from mcuformer_tflm.cli import app
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.zoo.catalogue import model_path

RECIPES = Path(__file__).parents[2] / "examples" / "zoo"
_REACHED = "all arguments were taken"


def _commands(command, path=()):
    for name, child in getattr(command, "commands", {}).items():
        yield from _commands(child, (*path, name))
    if not hasattr(command, "commands"):
        yield path, command


COMMANDS = dict(_commands(typer.main.get_command(app)))
# What each parameter may be; options that are not here are left out.
GOOD = {
    "model": "good.tflite", "name": "fashion_mnist_16k", "suite": "memory", "board": "stm32f746",
    "recipe": "recipe.toml", "limit": "1", "out": "out", "work": "work", "data": "fashion-mnist",
    "seed": "1", "sram_kib": "300", "weight_bits": "4", "residual_bits": "16", "minutes": "1",
    "picture": "out/picture.svg", "json_file": "out/rows.json",
}  # fmt: skip


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("places")
    model = model_path("fashion_mnist_16k").read_bytes()
    (folder / "good.tflite").write_bytes(model)
    (folder / "short.tflite").write_bytes(model[: len(model) // 2])
    (folder / "random.bin").write_bytes(np.random.default_rng(0).bytes(5000))
    (folder / "a folder").mkdir()
    return folder


WRONG = {
    "empty": "", "markup": "a [/x]", "missing": "nowhere/at/all", "folder": "a folder",
    "random bytes": "random.bin", "truncated model": "short.tflite", "negative": "-1",
    "huge": "9" * 30, "not a number": "nan", "no text": "\udcff[bold]",
}  # fmt: skip


@pytest.fixture
def without_work(places, tmp_path, monkeypatch, fashion_mnist):
    """A folder with one of each file, in which no command trains, emulates or measures."""
    for path in places.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "recipe.toml").symlink_to(RECIPES / "fashion_mnist_16k.toml")
    monkeypatch.chdir(tmp_path)

    def stop(*_, **__):
        raise ConfigError(_REACHED)

    for work in (
        "demo.run_demo", "zoo.making.make_model", "baselines.making.make_baseline",
        "firmware.emulation.build_project", *(f"bench.{suite}.run" for suite in SUITES),
    ):  # fmt: skip
        module, function = work.rsplit(".", 1)
        monkeypatch.setattr(importlib.import_module(f"mcuformer_tflm.{module}"), function, stop)
    read, few = datasets.fashion_mnist, slice(20)
    data = dataclasses.replace(
        fashion_mnist,
        test_images=fashion_mnist.test_images[few],
        test_classes=fashion_mnist.test_classes[few],
    )
    monkeypatch.setattr(
        datasets, "fashion_mnist", lambda folder=None: read(folder) if folder else data
    )


def _arguments(command, path, wrong, value):
    words = list(path)
    for parameter in command.params:
        good = GOOD.get(parameter.name)
        if path == ("zoo", "baseline") and parameter.name == "recipe":
            good = str(RECIPES / "baselines" / "depthwise_cnn_16k.toml")
        if path == ("bench",) and parameter.name == "picture":
            good = None  # the suite draws none
        if parameter.name == wrong:
            good = value
        if good is None:
            continue
        words += [good] if parameter.param_type_name == "argument" else [parameter.opts[0], good]
    return words


def _told(words):
    result = CliRunner().invoke(app, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise AssertionError(words) from result.exception
    assert result.exit_code in (0, 1, 2), words
    if result.exit_code == 1:
        assert result.stderr.startswith("Error: "), words
    if result.exit_code == 2:
        assert "Usage: " in result.stderr, words
    assert "Traceback" not in result.output, words
    return result.exit_code, result.stderr


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_command_with_a_wrong_argument_says_so_in_one_paragraph(path, without_work):
    command = COMMANDS[path]
    status, err = _told(_arguments(command, path, None, None))
    assert status == 0 or _REACHED in err, err
    for parameter in command.params:
        if parameter.name in ("help", "version"):
            continue
        if parameter.required:
            words = _arguments(command, path, parameter.name, None)
            assert _told(words)[0] == 2, words
        for kind, value in WRONG.items():
            status, err = _told(_arguments(command, path, parameter.name, value))
            name = parameter.name
            if status == 0 or _REACHED in err:
                # A place to write to may have any name, and a limit any size.
                assert name in ("out", "work", "json_file") or kind == "huge", (name, value, err)
