"""Every command and every public function, with each argument wrong in ten ways."""

import dataclasses
import functools
import importlib
import inspect
import itertools
import math
import operator
import shutil
import wave
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import typer
from run_record import run_folder
from safetensors.numpy import save_file
from typer.testing import CliRunner

import mcuformer_tflm
from mcuformer_tflm import normalise
from mcuformer_tflm.bench import SUITES
from mcuformer_tflm.bench.models import random_vit
from mcuformer_tflm.cli import app
from mcuformer_tflm.cli.networks import load_step
from mcuformer_tflm.data.speech_features import MFCC_49X10
from mcuformer_tflm.firmware.source import checksum, operator_names
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError, McuformerError
from mcuformer_tflm.keras_models.pretrained import vit
from mcuformer_tflm.keras_models.pretrained.vit import IMAGENET_MEAN, IMAGENET_STD
from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
from mcuformer_tflm.keras_models.subnet import Subnet, build_subnet
from mcuformer_tflm.keras_models.training import low_rank
from mcuformer_tflm.quantize.quantize import quantize
from mcuformer_tflm.referee import referee
from mcuformer_tflm.task.page.record import RunRecord
from mcuformer_tflm.tflite.model_graph import read_graph
from mcuformer_tflm.zoo.catalogue import model_path

RECIPES = Path(__file__).parents[2] / "examples" / "zoo"
_REACHED = "all arguments were taken"


def _commands(command, path=()):
    for name, child in getattr(command, "commands", {}).items():
        yield from _commands(child, (*path, name))
    if not hasattr(command, "commands"):
        yield path, command


COMMAND = typer.main.get_command(app)
COMMANDS = dict(_commands(COMMAND))
# What each parameter may be; options that are not here are left out.
GOOD = {
    "model": "good.tflite", "name": "fashion_mnist_16k", "suite": "memory", "board": "stm32f746",
    "recipe": "recipe.toml", "limit": "1", "out": "out", "work": "work", "data": "fashion-mnist",
    "seed": "1", "sram_kib": "300", "weight_bits": "4", "residual_bits": "16", "minutes": "1",
    "picture": "out/picture.svg", "json_file": "out/rows.json", "log": "uart.log",
    "calibrate": "out/mine.toml", "arena_kib": "64", "flash_kib": "256", "batch_size": "64",
    "run_folder": "run", "epochs": "1", "teacher_epochs": "1", "start": "structured",
}  # fmt: skip


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("places")
    model = model_path("fashion_mnist_16k").read_bytes()
    (folder / "good.tflite").write_bytes(model)
    (folder / "short.tflite").write_bytes(model[: len(model) // 2])
    (folder / "random.bin").write_bytes(np.random.default_rng(0).bytes(5000))
    (folder / "a folder").mkdir()
    run_folder(folder / "run", RunRecord())
    (folder / "steps").mkdir()
    for command in ("quantize", "convert"):
        (folder / NETWORK[command]).touch()
    (folder / "uart.log").write_text("\n".join(_profile_log(model)))
    return folder


def _profile_log(model):
    names = operator_names(read_graph(model))
    yield from map(
        _checked,
        [
            f"model 0x{checksum(model):08x}, board stm32f746, core cortex-m7, 216 MHz, "
            f"{len(names)} operators, counted by DWT",
            "camera 0",
            *(f"operator {i}, 5 cycles, {name}" for i, name in enumerate(names)),
            f"total {5 * len(names)}",
        ],
    )


def _checked(text):
    line = f"mcuformer profile: {text}"
    return f"{line} *{functools.reduce(operator.xor, line.encode())}"


# What the commands for own networks start from; files' networks are made, not loaded.
NETWORK = {
    "train": "fashion_mnist_16k",
    "quantize": "steps/float.keras",
    "convert": "steps/quantized.keras",
}


@functools.cache
def _networks():
    network = build_subnet(
        Architecture(
            image_size=28, channels=1, num_classes=10, patch_size=14, rank_ratio=None, head_dim=4,
            embed_dim=8, num_heads=(1,), mlp_ratio=(1.0,),
        )
    )  # fmt: skip
    images = np.random.default_rng(0).integers(0, 256, (32, 28, 28, 1), np.uint8)
    config = QuantizationConfig(integer_operators=False)
    quantized = quantize(network, images, epochs=0, config=config)
    return {"float.keras": network, "quantized.keras": quantized}


def _load_step(path):
    return _networks().get(path.name) or load_step(path)


WRONG = {
    "empty": "", "markup": "a [/x]", "missing": "nowhere/at/all", "folder": "a folder",
    "random bytes": "random.bin", "truncated model": "short.tflite", "negative": "-1",
    "huge": "9" * 30, "not a number": "nan", "no text": "\udcff[bold]",
}  # fmt: skip


@pytest.fixture
def without_work(places, tmp_path, monkeypatch, fashion_mnist):
    """A folder with one of each file, in which no command trains, emulates or measures."""
    shutil.copytree(places, tmp_path, dirs_exist_ok=True)
    (tmp_path / "recipe.toml").symlink_to(RECIPES / "fashion_mnist_16k.toml")
    monkeypatch.chdir(tmp_path)
    # Typer would make all commands anew for each call.
    monkeypatch.setattr("typer.testing._get_command", lambda _: COMMAND)

    def stop(*_, **__):
        raise ConfigError(_REACHED)

    for work in (
        "task.board_search.run_search", "zoo.making.make_model",
        "zoo.supernet_making.make_supernet",
        "task.network_steps.train_network", "task.network_steps.quantize_network",
        "task.network_steps.measure_network",
        "firmware.emulation.build_project",
        "firmware.profile.comparison.measure_firmware",
        *(f"bench.{suite}.run" for suite in SUITES),
    ):  # fmt: skip
        module, function = work.rsplit(".", 1)
        monkeypatch.setattr(importlib.import_module(f"mcuformer_tflm.{module}"), function, stop)
    for command in ("quantize", "convert"):
        module = importlib.import_module(f"mcuformer_tflm.cli.{command}")
        monkeypatch.setattr(module, "load_step", _load_step)
    loading = importlib.import_module("mcuformer_tflm.data.load")
    read, few, batch = loading.fashion_mnist, slice(20), slice(300)
    data = dataclasses.replace(
        fashion_mnist,
        train_images=fashion_mnist.train_images[batch],
        train_classes=fashion_mnist.train_classes[batch],
        test_images=fashion_mnist.test_images[few],
        test_classes=fashion_mnist.test_classes[few],
    )
    monkeypatch.setattr(
        loading, "fashion_mnist", lambda folder=None: read(folder) if folder else data
    )


def _arguments(command, path, wrong, value):
    words = list(path)
    for parameter in command.params:
        good = GOOD.get(parameter.name)
        if path == ("zoo", "baseline") and parameter.name == "recipe":
            good = str(RECIPES / "baselines" / "depthwise_cnn_16k.toml")
        if path == ("zoo", "supernet") and parameter.name == "recipe":
            good = str(RECIPES / "supernets" / "fashion_mnist.toml")
        if parameter.name == "network":
            good = NETWORK[path[0]]
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
                places = ("out", "work", "json_file", "as_json", "profile")
                assert name in places or kind == "huge", (name, value, err)


# What is no function, or raises nothing itself.
NOT_SWEPT = {"McuformerError", "MemoryPlan"}
FUNCTIONS = [
    name
    for name in mcuformer_tflm.__all__
    if name not in NOT_SWEPT
    and callable(value := getattr(mcuformer_tflm, name))
    and not (isinstance(value, type) and issubclass(value, Exception))
]


@pytest.fixture(scope="module")
def arguments(places, subnet, quantized, model, architecture, fashion_mnist, tmp_path_factory):
    """Arguments of every public function that are right, by its name."""
    folder = tmp_path_factory.mktemp("data")
    for word in ("yes", "no"):
        (folder / "images" / word).mkdir(parents=True)
        (folder / "words" / word).mkdir(parents=True)
        for number in range(12):
            picture = PIL.Image.fromarray(fashion_mnist.train_images[number, ..., 0])
            picture.save(folder / "images" / word / f"{number}.png")
            sound = folder / "words" / word / f"{number:08x}_nohash_0.wav"
            with wave.open(str(sound), "wb") as file:
                file.setparams((1, 2, 16000, 0, "NONE", ""))
                file.writeframes(np.full(16000, number, "<i2").tobytes())
    for part, number in (("validation", 0), ("testing", 1)):
        lines = [f"{word}/{number:08x}_nohash_0.wav" for word in ("yes", "no")]
        (folder / "words" / f"{part}_list.txt").write_text("\n".join(lines))
    images = fashion_mnist.train_images[:32]
    space = {
        "image_size": 28, "channels": 1, "num_classes": 10, "patch_size": (7, 14),
        "rank_ratio": (0.8, 0.9), "embed_dim": (32,), "depth": (1,), "num_heads": (2,),
        "mlp_ratio": (2.0,), "head_dim": 16, "low_rank_attention": False,
        "relative_position": False, "pooling": "mean", "stem": ("patch",),
    }  # fmt: skip
    board = mcuformer_tflm.get_board("stm32f746")
    fields = {field.name: getattr(board, field.name) for field in dataclasses.fields(board)}
    subnet.save(saved := folder / "saved.keras")
    save_file(random_vit(), pretrained := folder / "vit.safetensors")
    one_block = dataclasses.replace(architecture, rank_ratio=None, num_heads=(1,), mlp_ratio=(1.0,))
    return {
        "Architecture": dataclasses.asdict(architecture),
        "Board": fields | {"sram_regions": board.sram_regions},
        "ImageFolder": {
            "folder": folder / "images", "image_size": 8, "batch_size": 2, "seed": 0,
            "recipe": None, "resize": None, "channels": 1, "tenths": range(10),
        },
        "MicroInterpreter": {"model": model, "arena_size": 1 << 20, "planner": "mcuformer"},
        "QuantizationConfig": dataclasses.asdict(mcuformer_tflm.QuantizationConfig()),
        "Referee": {"subnet": subnet, "calibration": normalise(images), "progress": None},
        "SearchSpace": space,
        "SpeechCommands": {
            "folder": folder / "words", "batch_size": 2, "features": MFCC_49X10, "words": None,
            "seed": 0, "recipe": None, "extra_share": 0.1,
        },
        "TrainingRecipe": dataclasses.asdict(mcuformer_tflm.TrainingRecipe()),
        "build_subnet": {"architecture": architecture, "quantization": None},
        "build_supernet": {
            "space": mcuformer_tflm.SearchSpace(**space), "patch_size": 7, "rank_ratio": 0.8,
            "stem": "patch", "precision": "float32",
        },
        "convert": {
            "subnet": quantized, "labels": fashion_mnist.labels, "schedule": "auto",
            "image": "whole", "arena_budget": None, "tile": 4, "block_tokens": 4,
        },
        "factorise": {
            "subnet": mcuformer_tflm.build_subnet(one_block), "rank_ratio": 0.5,
            "low_rank_attention": False,
        },
        "get_board": {"name": "stm32f746"},
        "load_model": {"path": saved},
        "load_vit": {
            "path": pretrained, "num_classes": 3, "image_size": 16, "patch_size": 8,
            "num_heads": 2, "mean": IMAGENET_MEAN, "std": IMAGENET_STD, "seed": 0,
        },
        "normalise": {"images": images},
        "plan_memory": {"model": model, "board": "stm32f746", "reserve": 0, "seed": 0},
        "quantization_report": {"quantized": quantized, "images": images},
        # An epoch, so that classes are looked at; nothing is calibrated or trained.
        "quantize": {
            "subnet": subnet, "images": images, "classes": fashion_mnist.train_classes[:32],
            "epochs": 1, "learning_rate": 1e-4, "batch_size": 16, "calibration_images": 32,
            "seed": 0, "progress": None, "config": None, "percentile": 100.0,
            "frozen_epochs": None, "recipe": None, "teacher": None, "checkpoint": None,
        },
        "quantize_images": {"images": images},
        "summary": {
            "architecture": architecture, "board": "stm32f746",
            "quantization": mcuformer_tflm.QuantizationConfig(),
        },
    }  # fmt: skip


# Where a value of WRONG_VALUES may be right: any number or text will do.
TAKEN = {
    ("Board", "name"), ("quantize", "checkpoint"), ("get_board", "name"),
}  # fmt: skip
WRONG_VALUES = {
    "none": None, "empty": "", "markup": "a [/x]", "missing": Path("nowhere/at/all"),
    "folder": Path("a folder"), "random bytes": Path("random.bin"),
    "truncated model": b"\x1c\0\0\0TFL3" + bytes(40), "negative": -1, "huge": 10**30,
    "not a number": math.nan,
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_with_a_wrong_argument_raises_an_error_of_ours(
    name, arguments, places, monkeypatch, tmp_path
):
    shutil.copytree(places, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def stop(*_, **__):
        raise DataError(_REACHED)

    monkeypatch.setattr(Subnet, "uncalibrated_copy", stop)
    for module in (low_rank, vit):
        monkeypatch.setattr(module, "build_subnet", stop)
    monkeypatch.setattr(referee, "convert_builtin", stop)
    function, right = getattr(mcuformer_tflm, name), arguments[name]
    assert set(right) == set(inspect.signature(function).parameters)
    for argument, (kind, value) in itertools.product(right, WRONG_VALUES.items()):
        if value is None and right[argument] is None:
            continue
        try:
            function(**right | {argument: value})
        except McuformerError as error:
            taken, told = _REACHED in str(error), str(error)
        except Exception as error:
            raise AssertionError(f"{name}({argument}={value!r})") from error
        else:
            taken, told = True, ""
        optional = value is None and "None" in str(
            inspect.signature(function).parameters[argument].annotation
        )
        allowed = optional or kind == "huge" or (name, argument) in TAKEN
        assert not taken or allowed, f"{name}({argument}={value!r})"
        assert "object has no attribute" not in told, told
    with pytest.raises(TypeError):
        function(**right, no_such_argument=1)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("convert", "flatten is a Flatten, which has no operator of ours. MeanPool"),
        ("quantization_report", "flatten is a Flatten"),
        ("quantize", "flatten is a Flatten"),
        ("Referee", "subnet is a Sequential; give one of the networks"),
    ],
)
def test_network_that_is_none_of_ours_is_refused_as_such(name, told, arguments):
    import tf_keras

    foreign = tf_keras.Sequential(
        [tf_keras.layers.Input((28, 28, 1)), tf_keras.layers.Flatten(name="flatten")]
    )
    argument = next(iter(arguments[name]))
    with pytest.raises(ConfigError, match=told):
        getattr(mcuformer_tflm, name)(**arguments[name] | {argument: foreign})
