import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Each against one contract of pyproject.toml: an upward import, a type-only one, a circle.
WRONG = {
    "plan/greedy.py": "from mcuformer_tflm.zoo.card import ModelCard",
    "keras_models/layers/gelu.py": (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n"
        "    from mcuformer_tflm.keras_models.subnet import Subnet"
    ),
    "search/cost/budget.py": "from mcuformer_tflm.search.oracles import space_evolution",
    "runtime/cycle.py": "from mcuformer_tflm.runtime import library, circle",
    "runtime/circle.py": "from mcuformer_tflm.runtime import cycle",
}


@pytest.fixture
def copy(tmp_path):
    """The package's modules, and the contracts that they keep."""
    shutil.copytree(
        ROOT / "mcuformer_tflm", tmp_path / "mcuformer_tflm",
        ignore=lambda folder, names: [
            name for name in names
            if name == "__pycache__" or not (name.endswith(".py") or (Path(folder) / name).is_dir())
        ],
    )  # fmt: skip
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def _lint(folder):
    # The path goes before the finder of an editable install.
    program = (
        "import sys; sys.path.insert(0, '.'); sys.meta_path[:] = [finder for finder in "
        "sys.meta_path if 'importlib' in finder.__module__]; "
        "from importlinter.cli import lint_imports_command as run; "
        "run(['--no-cache', '--no-logo'])"
    )
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "COLUMNS": "400"}, timeout=300,
    )  # fmt: skip


def test_imports_run_one_way(copy):
    found = _lint(copy)
    assert found.returncode == 0, found.stdout


def test_an_import_against_the_direction_is_told(copy):
    for file, line in WRONG.items():
        path = copy / "mcuformer_tflm" / file
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        path.write_text(f"{text}\n{line}\n", encoding="utf-8")
    found = _lint(copy)
    assert found.returncode == 1
    for wrong in (
        "mcuformer_tflm.plan.greedy -> mcuformer_tflm.zoo.card",
        "mcuformer_tflm.keras_models.layers.gelu -> mcuformer_tflm.keras_models.subnet",
        "mcuformer_tflm.search.cost.budget -> mcuformer_tflm.search.oracles.space_evolution",
        "No cycles are allowed in mcuformer_tflm.runtime",
    ):
        assert wrong in found.stdout, found.stdout
