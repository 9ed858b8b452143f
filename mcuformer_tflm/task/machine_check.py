"""What of the things that the commands need is on this machine."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
import sys
from collections.abc import Iterator
from typing import Literal

from packaging.requirements import Requirement

from mcuformer_tflm.data.fashion_mnist import DEBIAN_FASHION_MNIST, KERAS_FASHION_MNIST
from mcuformer_tflm.emulator.tools import COMPILER, DEBIAN_PACKAGES, find_tool
from mcuformer_tflm.keras_models.exceptions import RuntimeVersionError, ToolchainError
from mcuformer_tflm.runtime.library import SUPPORTED_TFLM, load
from mcuformer_tflm.version import __version__

_PACKAGE = "mcuformer-tflm"
# Extras that users ask for, with what needs them; the others are for who works on this package.
_EXTRAS = {
    "": "",
    "train": "whatever trains, quantizes or converts: demo, search, zoo train, bench",
    "emulator": "emulate, bench kernels, bench firmware",
}
_LACKS = {
    COMPILER: "firmware, emulate, bench firmware",
    "cmake": "firmware, emulate, bench firmware",
    "llvm-mca": "estimated cycles in bench kernels and bench firmware",
    "qemu-system-arm": "emulate",
}

State = Literal["there", "missing", "wrong"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is looked for.

    Attributes:
        name: What it is.
        state: ``"there"``, ``"missing"``, or ``"wrong"`` where it is another than is needed.
        found: Its version or place; empty where there is none.
        needed_by: What does not work without it; empty where nothing does.
        remedy: The command that mends it; empty where it is there.
    """

    name: str
    state: State
    found: str
    needed_by: str
    remedy: str = ""

    @property
    def essential(self) -> bool:
        """Whether nothing works without it."""
        return not self.needed_by


def check_machine() -> list[Finding]:
    """Returns what is there and what is not: Python, packages, operators, tools and data."""
    return [_python(), *_packages(), _operators(), *_tools(), _fashion_mnist()]


def _python() -> Finding:
    wanted = importlib.metadata.metadata(_PACKAGE)["Requires-Python"] or ""
    version = platform.python_version()
    fits = Requirement(f"python{wanted}").specifier.contains(version)
    remedy = "" if fits else f"install {_PACKAGE} in an environment of Python {wanted}"
    return Finding("Python", "there" if fits else "wrong", version, "", remedy)


def _packages() -> Iterator[Finding]:
    yield Finding(_PACKAGE, "there", __version__, "")
    for extra, needed_by in _EXTRAS.items():
        named = f"'{_PACKAGE}[{extra}]'" if extra else _PACKAGE
        for text in importlib.metadata.requires(_PACKAGE) or ():
            wanted = Requirement(text)
            marker = wanted.marker
            if (marker is None) == bool(extra) or not (
                marker is None or marker.evaluate({"extra": extra})
            ):
                continue
            command = f"{sys.executable} -m pip install {named}"
            try:
                version = importlib.metadata.version(wanted.name)
            except importlib.metadata.PackageNotFoundError:
                yield Finding(wanted.name, "missing", "", needed_by, command)
                continue
            if wanted.specifier.contains(version, prereleases=True):
                yield Finding(wanted.name, "there", version, needed_by)
            else:
                found = f"{version}, not {wanted.specifier}"
                yield Finding(wanted.name, "wrong", found, needed_by, command)


def _operators() -> Finding:
    name, needed_by = "our operators in TFLM", "MicroInterpreter, verify, demo"
    try:
        load()
    except RuntimeVersionError as error:
        return Finding(name, "missing", "", needed_by, str(error))
    return Finding(name, "there", f"tflite-micro {SUPPORTED_TFLM}", needed_by)


def _tools() -> Iterator[Finding]:
    for tool, packages in DEBIAN_PACKAGES.items():
        try:
            path = find_tool(tool)
        except ToolchainError:
            yield Finding(tool, "missing", "", _LACKS[tool], f"apt-get install {packages}")
        else:
            yield Finding(tool, "there", path, _LACKS[tool])


def _fashion_mnist() -> Finding:
    name, needed_by = "Fashion-MNIST", "demo, zoo train, bench accuracy"
    for folder in (DEBIAN_FASHION_MNIST, KERAS_FASHION_MNIST.expanduser()):
        if folder.is_dir():
            return Finding(name, "there", str(folder), needed_by)
    return Finding(name, "missing", "", needed_by, "apt-get install dataset-fashion-mnist")
