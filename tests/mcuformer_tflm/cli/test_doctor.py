"""mcuformer doctor: what is there, what is not, and what mends it."""

import importlib.metadata
import json

import pytest
from typer.testing import CliRunner

from mcuformer_tflm.cli import app
from mcuformer_tflm.emulator import tools
from mcuformer_tflm.runtime import library
from mcuformer_tflm.task.machine_check import Finding, check_machine


def _found(name: str) -> Finding:
    return next(finding for finding in check_machine() if finding.name == name)


def _doctor(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["doctor", *arguments])
    return result.exit_code, result.stdout


def test_every_requirement_of_the_package_is_looked_for():
    code, text = _doctor("--json")
    assert code == 0
    names = {finding["name"] for finding in json.loads(text)}
    assert {"tensorflow", "keras-tuner", "tensorflow-model-optimization", "numpy"} <= names
    assert {"tflite-support", "tflite-micro", "unicorn", "Python", *tools.DEBIAN_PACKAGES} <= names
    assert not {"pytest", "ruff"} & names, "what only developers need"


def test_findings_go_to_a_file_where_one_is_named(tmp_path):
    assert _doctor("--json", str(tmp_path / "found.json"))[0] == 0
    assert json.loads((tmp_path / "found.json").read_text()) == json.loads(_doctor("--json")[1])
    code, _ = _doctor(str(tmp_path / "found.json"))
    assert code == 1, "without --json it would be lost"


@pytest.mark.parametrize("tool", tools.DEBIAN_PACKAGES)
def test_a_missing_tool_is_told_with_the_command_that_installs_it(monkeypatch, tmp_path, tool):
    monkeypatch.setattr(
        tools.shutil, "which", lambda name: None if name == tool else f"/bin/{name}"
    )
    monkeypatch.setattr(tools.sys, "executable", str(tmp_path / "python"))
    finding = _found(tool)
    assert finding.state == "missing"
    assert finding.remedy == f"apt-get install {tools.DEBIAN_PACKAGES[tool]}"
    code, text = _doctor()
    assert code == 0, "other commands work without it"
    assert f"{tool}: {finding.remedy}" in text


def test_another_version_of_a_package_is_told_with_the_one_that_is_wanted(monkeypatch):
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata,
        "version",
        lambda of: "9.9" if of == "keras-tuner" else version(of),
    )
    finding = _found("keras-tuner")
    assert (finding.state, finding.found) == ("wrong", "9.9, not ==1.4.8")
    assert finding.remedy.endswith("-m pip install 'mcuformer-tflm[train]'")
    assert _doctor()[0] == 0, "models run without it"


def test_another_version_of_what_everything_needs_ends_with_status_1(monkeypatch):
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda of: "9.9" if of == "tflite-micro" else version(of)
    )
    assert _found("tflite-micro").remedy.endswith("-m pip install mcuformer-tflm")
    assert _doctor()[0] == 1


def test_a_missing_package_is_told_and_of_an_extra_ends_with_status_0(monkeypatch):
    version = importlib.metadata.version

    def without(name):
        if name == "unicorn":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without)
    assert _found("unicorn").state == "missing"
    code, text = _doctor()
    assert code == 0
    assert "pip install 'mcuformer-tflm[emulator]'" in text


def test_operators_that_are_not_built_are_told_with_what_builds_them(monkeypatch, tmp_path):
    monkeypatch.setattr(library, "SUPPORTED_TFLM", "0.dev1")
    library._load.cache_clear()
    finding = _found("our operators in TFLM")
    library._load.cache_clear()
    assert finding.state == "missing"
    assert "pip install tflite-micro==0.dev1" in finding.remedy
