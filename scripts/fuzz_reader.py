"""Fuzzes one reader by coverage, with Atheris: ``fuzz_reader.py READER [libFuzzer's arguments]``.

`make fuzz` runs it for each reader, beginning with the corpus that is kept.
"""

import importlib
import inspect
import os
import re
import sys
from pathlib import Path

import atheris

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).parents[1]
# An editable install has loaders of its own, which Atheris cannot instrument.
sys.meta_path[:] = [f for f in sys.meta_path if not type(f).__module__.startswith("_editable")]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/helpers")]
with atheris.instrument_imports(include=["mcuformer_tflm"]):
    import fuzz_readers


def main():
    """Runs libFuzzer on the reader that the first argument names."""
    read = fuzz_readers.READERS[sys.argv.pop(1)]
    # What decides is instrumented, and loaded now: ours, and the parsers of the standard library.
    modules = re.findall(r"from (mcuformer_tflm\S+) import", inspect.getsource(read))
    with atheris.instrument_imports(include=["mcuformer_tflm", "wave", "zipfile", "tomllib"]):
        for name in modules:
            importlib.import_module(name)
    atheris.Setup(sys.argv, read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
