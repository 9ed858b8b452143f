"""Bytes that each adapter keeps in the arena of a 32-bit machine, as its compiler sees them."""

import subprocess
from pathlib import Path

from mcuformer_tflm import custom_ops
from mcuformer_tflm.runtime.micro_interpreter import OPERATORS
from mcuformer_tflm.search.cost.tflm_arena import STATE_BYTES

_COMPILER = "arm-none-eabi-g++"
_SOURCES = Path(custom_ops.__file__).resolve().parent
_FLAGS = ["-std=c++17", "-mcpu=cortex-m7", "-mthumb", "-fno-exceptions", "-fsyntax-only"]


def test_each_adapters_record_has_the_size_that_the_arena_is_computed_with(tmp_path):
    for code in OPERATORS:
        state = STATE_BYTES.get(code, 0)
        words = "".join(f"_{c.lower()}" if c.isupper() else c for c in code)
        name = words.removeprefix("_mcuformer_")
        check = tmp_path / f"{name}.cc"
        claim = f"static_assert(sizeof(mcuformer::Data) == {state});" if state else ""
        check.write_text(f'#include "tflm/{name}.cc"\n{claim}\n')
        result = subprocess.run(
            [_COMPILER, *_FLAGS, f"-I{_SOURCES}", str(check)], capture_output=True, text=True
        )
        assert result.returncode == 0, f"{code}: {result.stderr[-400:]}"
