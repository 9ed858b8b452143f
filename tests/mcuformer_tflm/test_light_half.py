"""What `pip install mcuformer-tflm` brings works without the packages of its extra `train`."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mcuformer_tflm.lazy_names import missing_half
from mcuformer_tflm.zoo import model_path

ROOT = Path(__file__).parents[2]
# Put before all other finders of modules, by Python itself when it starts.
WITHOUT = """
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {packages!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Without())
"""
HEAVY = (
    "keras", "keras_tuner", "safetensors", "tensorboard", "tensorflow", "tensorflow_lite_support",
    "tensorflow_model_optimization", "tf_keras", "tflite_support",
)  # fmt: skip


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """Runs a program where none of the training half's packages is found."""
    folder = tmp_path_factory.mktemp("without")
    (folder / "sitecustomize.py").write_text(WITHOUT.format(packages=HEAVY))

    def run(program, *arguments):
        return subprocess.run(
            [sys.executable, "-c", program, *map(str, arguments)], text=True, cwd=folder,
            capture_output=True, timeout=300, env={**os.environ, "PYTHONPATH": str(folder)},
        )  # fmt: skip

    return run


def test_models_run_are_planned_verified_and_become_firmware_without_tensorflow(without):
    program = """
import sys
from typer.testing import CliRunner
from mcuformer_tflm import MicroInterpreter, plan_memory
from mcuformer_tflm.cli import app
path = sys.argv[1]
for line in (
    "zoo list", "zoo card fashion_mnist_16k", f"plan {path}", "doctor",
    f"firmware {path} --board stm32f427 --out firmware",
    f"verify {path} --data fashion-mnist --limit 20",
):
    result = CliRunner().invoke(app, line.split())
    assert result.exit_code == 0, (line, result.output, result.exception)
print(MicroInterpreter(path).run(__import__("numpy").zeros((1, 28, 28, 1), "int8")).shape)
"""
    found = without(program, model_path("fashion_mnist_16k"))
    assert found.stdout.splitlines()[-1:] == ["(1, 10)"], found.stderr


def test_what_needs_the_training_half_says_how_to_install_it(without):
    program = """
import mcuformer_tflm
from mcuformer_tflm import ToolchainError
from typer.testing import CliRunner
from mcuformer_tflm.cli import app
for name in ("build_supernet", "convert"):
    try:
        getattr(mcuformer_tflm, name)
    except ToolchainError as error:
        print(error)
result = CliRunner().invoke(app, ["demo"])
print(result.exit_code, result.output)
"""
    lines = without(program).stdout.splitlines()
    assert len([line for line in lines if "pip install 'mcuformer-tflm[train]'" in line]) >= 2
    assert any(line.startswith("1 ") for line in lines), lines


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ((3, 11), "Run `pip install 'mcuformer-tflm[train]'`"),
        ((3, 13), "not all of its packages have wheels for Python 3.13"),
    ],
)
def test_a_newer_python_is_told_which_one_trains(monkeypatch, version, message):
    class Version(tuple):
        major = property(lambda self: self[0])
        minor = property(lambda self: self[1])

    monkeypatch.setattr("sys.version_info", Version(version))
    assert message in missing_half(ModuleNotFoundError("no", name="tf_keras.layers"))
    assert missing_half(ModuleNotFoundError("no", name="requests")) is None


def test_only_the_extra_brings_what_trains():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {line.split("=")[0].split(">")[0] for line in project["dependencies"]}
    train = {line.split("=")[0].split(">")[0] for line in project["optional-dependencies"]["train"]}
    assert {"numpy", "tflite-micro"} <= named
    assert {"tensorflow", "keras-tuner", "tflite-support"} <= train
    assert not named & train


def test_all_files_tell_one_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f'version = "{version}"' in (ROOT / "MODULE.bazel").read_text()
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    headings = re.findall(r"^## (.*)$", (ROOT / "docs/release-notes.md").read_text(), re.MULTILINE)
    assert headings[0] == version
