"""Programs of the machine that compile, emulate and model firmware."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from mcuformer_tflm.keras_models.exceptions import ToolchainError

COMPILER = "arm-none-eabi-g++"
# What Debian calls the packages that each comes in.
DEBIAN_PACKAGES = {
    COMPILER: "gcc-arm-none-eabi libnewlib-arm-none-eabi libstdc++-arm-none-eabi-newlib",
    "cmake": "cmake",
    "llvm-mca": "llvm",
    "qemu-system-arm": "qemu-system-arm",
}


def find_tool(name: str) -> str:
    """Returns the path of one of ``DEBIAN_PACKAGES``, or of another tool of the cross compiler.

    Raises:
        ToolchainError: If it is not installed.
    """
    path = shutil.which(name)
    if name == "cmake":
        # `make setup` puts CMake beside Python, which a caller's PATH may not name.
        beside = Path(sys.executable).parent / name
        path = str(beside) if beside.exists() else path
    if path is None:
        packages = DEBIAN_PACKAGES.get(name, DEBIAN_PACKAGES[COMPILER])
        raise ToolchainError(
            f"{name} is not installed. Run `apt-get install {packages}` (Debian), or `make setup` "
            "in the checkout."
        )
    return path
