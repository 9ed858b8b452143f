"""A path may be a str wherever it may be a Path, and a model a path or bytes of any kind."""

import importlib
import inspect
import os
import pkgutil
import re
import wave
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from public_names import functions_of, public_functions

import mcuformer_tflm
from mcuformer_tflm import (
    ImageFolder,
    MicroInterpreter,
    QuantizationConfig,
    SpeechCommands,
    build_subnet,
    convert,
    load_model,
    plan_memory,
    quantization_report,
    quantize,
)
from mcuformer_tflm.convert.metadata import read_labels
from mcuformer_tflm.data.image_data import from_npz
from mcuformer_tflm.firmware.project import export_firmware
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import ConfigError, ModelError
from mcuformer_tflm.keras_models.training.checkpoint import load_weights, save_halves, save_weights
from mcuformer_tflm.plan.picture import draw_plan
from mcuformer_tflm.plan.planner import read_plan, write_plan
from mcuformer_tflm.tflite.model_graph import read_graph

ARCHITECTURE = Architecture(8, 1, 3, 4, 0.5, 4, 8, (1,), (2.0,))
LABELS = ("a", "b", "c")
# Modules that no user calls, or, of the command line, that typer gives their paths.
INNER = re.compile(
    r"mcuformer_tflm\.(bench|cli|emulator|custom_ops"
    r"|data\.class_folders|data\.picture|keras_models\.training\.origin|search\.tuners\.project_origin"
    r"|task\.clock|task\.stages|zoo\.recipe_tables)\b"
)
FORMS = {
    "path": lambda path: path,
    "str": str,
    "bytes": Path.read_bytes,
    "bytearray": lambda path: bytearray(path.read_bytes()),
    "memoryview": lambda path: memoryview(path.read_bytes()),
}


class OtherPath(os.PathLike):
    """A path of neither type."""

    def __init__(self, path):
        self.path = str(path)

    def __fspath__(self):
        return self.path


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).uniform(-1, 1, (32, 8, 8, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def quantized(images):
    config = QuantizationConfig(integer_operators=False)
    return quantize(build_subnet(ARCHITECTURE), images, epochs=0, config=config)


@pytest.fixture(scope="module")
def model(quantized):
    return convert(quantized, LABELS)


@pytest.fixture
def model_file(model, tmp_path):
    path = tmp_path / "a model.tflite"
    path.write_bytes(model)
    return path


def test_no_public_function_takes_a_path_of_one_type_alone():
    found, paths = set(), 0
    for module in pkgutil.walk_packages(mcuformer_tflm.__path__, "mcuformer_tflm."):
        if INNER.match(module.name) or module.name.endswith("__main__"):
            continue
        home = importlib.import_module(module.name)
        values = {
            name: value
            for name, value in vars(home).items()
            if not name.startswith("_") and getattr(value, "__module__", "") == module.name
        }
        for name, function in functions_of(values):
            for parameter in inspect.signature(function).parameters.values():
                paths += "AnyPath" in str(parameter.annotation)
                if re.search(r"\bPath\b", str(parameter.annotation)):
                    found.add((module.name, name, parameter.name))
    # Fields of results, which this package makes.
    assert found == {
        ("mcuformer_tflm.firmware.build", "FirmwareImage", "elf"),
        ("mcuformer_tflm.data.load", "NamedImages", "folder"),
        ("mcuformer_tflm.data.load", "NamedWords", "folder"),
    }
    assert paths > 30


def test_no_public_function_takes_a_model_as_bytes_alone():
    names = {
        (name, parameter.name)
        for package in (None, "plan")
        for name, function in public_functions(package)
        for parameter in inspect.signature(function).parameters.values()
        if re.search(r"\bbytes\b", str(parameter.annotation))
    }
    assert names == {("read_places", "record")}, "which is no model, but a part of one"


@pytest.mark.parametrize("form", FORMS)
def test_a_model_is_planned_and_read_in_every_form(form, model, model_file):
    given = FORMS[form](model_file)
    assert read_graph(given) == read_graph(model)
    assert read_labels(given, 3) == LABELS
    plan = plan_memory(given)
    assert plan == plan_memory(model)
    assert read_plan(read_graph(write_plan(given, plan))) == plan


@pytest.mark.parametrize("form", ["str", "bytearray", "memoryview"])
def test_a_model_runs_and_is_exported_in_every_form(form, model, model_file, tmp_path):
    given = FORMS[form](model_file)
    assert MicroInterpreter(given).labels == LABELS
    export_firmware(given, "stm32f746", str(tmp_path / "project"))
    assert (tmp_path / "project" / "model.cc").is_file()


@pytest.mark.parametrize("kind", [str, OtherPath])
def test_files_are_written_and_read_by_paths_of_every_kind(
    kind, quantized, model, images, tmp_path
):
    def at(name):
        return kind(tmp_path / "folder" / name)

    for save in (save_weights, save_halves):
        save(quantized, at("weights.npz"))
        load_weights(quantized, at("weights.npz"))
    quantization_report(quantized, images[:2]).draw(at("sqnr.png"))
    draw_plan(plan_memory(model), at("plan.png"))
    quantized.save(tmp_path / "folder" / "network.keras")
    assert load_model(at("network.keras")).architecture == ARCHITECTURE
    data = {f"{part}_{what}": np.zeros(shape, np.uint8) for part in ("train", "test")
            for what, shape in (("images", (3, 8, 8)), ("classes", 3))}  # fmt: skip
    np.savez(tmp_path / "folder" / "data.npz", **data)
    assert from_npz(at("data.npz")).name == "data"
    names = ("data.npz", "network.keras", "plan.png", "sqnr.png", "weights.npz")
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == sorted(names)


@pytest.mark.parametrize("kind", [str, OtherPath])
def test_folders_of_data_are_named_by_paths_of_every_kind(kind, tmp_path):
    pictures, sounds = tmp_path / "pictures", tmp_path / "sounds"
    for word in ("no", "yes"):
        for folder in (pictures, sounds):
            (folder / word).mkdir(parents=True)
        for index in range(20):
            PIL.Image.new("L", (9, 9)).save(pictures / word / f"{index}.png")
            with wave.open(str(sounds / word / f"{index}_nohash_0.wav"), "wb") as file:
                file.setparams((1, 2, 16_000, 0, "NONE", ""))
                file.writeframes(bytes(2000))
    assert ImageFolder(kind(pictures), 8, 2, channels=1).labels == ("no", "yes")
    assert SpeechCommands(kind(sounds), 2).labels == ("yes", "no")


@pytest.mark.usefixtures("op_by_op")
def test_a_checkpoint_is_kept_and_gone_on_with_by_a_str(images, tmp_path):
    path = tmp_path / "state.npz"
    options = {"classes": np.arange(32) % 3, "batch_size": 16, "checkpoint": str(path)}
    subnet = build_subnet(ARCHITECTURE)
    config = QuantizationConfig(integer_operators=False)
    first = quantize(subnet, images, config=config, **options)
    assert path.is_file()
    second = quantize(subnet, images, config=config, **options)
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("wrong", [3, None, b"model.png", "", "a\0b"])
def test_what_is_no_path_is_refused_by_the_arguments_name(wrong, quantized, model, images):
    plan = plan_memory(model)
    for name, call in (
        ("path", lambda: draw_plan(plan, wrong)),
        ("path", lambda: save_weights(quantized, wrong)),
        ("path", lambda: load_model(wrong)),
        ("folder", lambda: ImageFolder(wrong, 8, 1)),
        ("folder", lambda: SpeechCommands(wrong, 1)),
        ("out", lambda: export_firmware(model, "stm32f746", wrong)),
    ):
        with pytest.raises(ConfigError, match=f"^{name} is {re.escape(repr(wrong))}; it must be"):
            call()
    if wrong is not None:
        subnet = build_subnet(ARCHITECTURE)
        with pytest.raises(ConfigError, match=r"^checkpoint is "):
            quantize(subnet, images, epochs=0, checkpoint=wrong)


def test_what_is_no_model_is_refused(tmp_path):
    for call in (plan_memory, MicroInterpreter, read_graph):
        with pytest.raises(ConfigError, match=r"^model is 3; it must be"):
            call(3)
        with pytest.raises(ModelError, match=r"none\.tflite cannot be read"):
            call(str(tmp_path / "none.tflite"))
        with pytest.raises(ModelError, match="identifier TFL3 is missing"):
            call(memoryview(b"no model at all"))
