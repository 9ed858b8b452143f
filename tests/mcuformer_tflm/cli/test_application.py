"""What all commands share: completion, and how errors are told."""

import os
import subprocess
import sys

import pytest

PROGRAM = "from mcuformer_tflm.cli import main; main()"


def _run(*arguments, **variables):
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.argv[0] = 'mcuformer'; {PROGRAM}", *arguments],
        capture_output=True, timeout=120, check=False, text=True, env={**os.environ, **variables},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("mcuformer do", {"doctor"}),
        ("mcuformer train fashion_mnist_6", {"fashion_mnist_64k"}),
        ("mcuformer plan --board stm32h", {"stm32h743"}),
        ("mcuformer zoo card fashion_mnist_1", {"fashion_mnist_16k", "fashion_mnist_128k"}),
    ],
)
def test_a_shell_completes_commands_boards_and_models(words, expected):
    result = _run(
        _MCUFORMER_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(words.count(" "))
    )
    assert set(result.stdout.split()) == expected, result.stderr


def test_an_error_is_one_paragraph_and_with_debug_a_traceback():
    arguments = "zoo", "card", "nothing"
    plain, debug = _run(*arguments), _run("--debug", *arguments)
    assert plain.returncode == debug.returncode == 1
    assert plain.stderr.startswith("Error: There is no model 'nothing'")
    assert "Traceback" not in plain.stderr
    assert "Traceback" in debug.stderr
    assert "There is no model 'nothing'" in debug.stderr
