"""No kernel of the library goes without a twin, or without a test on the emulated cores."""

import re
from pathlib import Path

import pytest

from mcuformer_tflm.emulator.machine import emulated_machine

ROOT = Path(__file__).parents[2]
KERNELS = sorted(path.stem for path in (ROOT / "custom_ops/kernels").glob("*.cc"))
# Run inside others, by which they are held against the same twins; other names
# are put together in test_dot and test_fully_connected.
PARTS = {
    "mcuformer::FullyConnectedResidual", "McuformerDot4x2", "McuformerDot4x2Int4",
    "McuformerDot1x2Int4", "mcuformer::SumToken",
    "mcuformer::AttentionLogits", "mcuformer::AttentionSoftmax", "mcuformer::AttentionContext",
    "mcuformer::IntegerSqrt", "mcuformer::MultiplyByQuantizedMultiplier",
    "McuformerMultiplyToRows", "McuformerMultiplyToBlock", "McuformerWidenWeights",
    "McuformerMultiplyToResidual8", "McuformerMultiplyToResidual16",
}  # fmt: skip
# Sizes in bytes, which the adapters' tests see as scratch.
NO_KERNELS = re.compile(r".*(Bytes|MayOverwrite)$")


@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_has_a_header_a_twin_and_a_test_of_its_name(name):
    for path in (
        f"custom_ops/kernels/{name}.h",
        f"custom_ops/reference/{name}.py",
        f"tests/custom_ops/test_{name}.py",
    ):
        assert (ROOT / path).is_file(), path


def test_every_public_function_runs_on_the_emulated_cores_in_a_test():
    headers = "".join(path.read_text() for path in (ROOT / "custom_ops/kernels").glob("*.h"))
    public = {
        name.split("<")[0]
        for name in emulated_machine("cortex-m7").image.functions
        if re.fullmatch(r"mcuformer::\w+(<(signed char|short)>)?|Mcuformer\w+", name)
    }
    public = {
        name
        for name in public
        if re.search(rf"\b{name.removeprefix('mcuformer::')}\(", headers)
        and not NO_KERNELS.match(name)
    }
    tests = "".join(path.read_text() for path in (ROOT / "tests/custom_ops").glob("test_*.py"))
    assert len(public) > 10
    unseen = {name for name in public if not re.search(rf"\b{name.split('::')[-1]}\b", tests)}
    assert unseen <= PARTS
