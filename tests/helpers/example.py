"""Runs an example as its command line would, in this process: TensorFlow is loaded already."""

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run_example(capsys, script, *arguments):
    """Returns what an example prints to standard output, its blanks and lines as single blanks.

    Args:
        capsys: pytest's.
        script: The example's file.
        arguments: What follows it on the command line.
    """
    path = str(EXAMPLES / script)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [path, *map(str, arguments)])
        runpy.run_path(path, run_name="__main__")
    return " ".join(capsys.readouterr().out.split())
