"""Names of a package that load on first use."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Collection, Mapping
from types import ModuleType
from typing import Any

# What the extra "train" brings.
_TRAINING = (
    "keras_tuner", "safetensors", "tensorflow", "tensorflow_lite_support",
    "tensorflow_model_optimization", "tf_keras",
)  # fmt: skip


def missing_half(error: ModuleNotFoundError) -> str | None:
    """Returns how to install what trains networks, where that is what an import did not find."""
    package = (error.name or "").partition(".")[0]
    if package not in _TRAINING:
        return None
    told = f"{package} is missing, which belongs to the half that trains and converts networks. "
    if sys.version_info >= (3, 12):
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        return told + (
            "It needs Python 3.11 (`pip install 'mcuformer-tflm[train]'` there): not all of its "
            f"packages have wheels for Python {python}. Models run, are planned and verified, and "
            "become firmware here all the same."
        )
    return told + "Run `pip install 'mcuformer-tflm[train]'`."


def load_on_first_use(
    package: str, homes: Mapping[str, str], subpackages: Collection[str] = ()
) -> None:
    """Gives a package names whose modules are imported when they are first asked for.

    Called by the package's ``__init__``, which imports the same names ``if TYPE_CHECKING``, for
    type checkers and editors.

    Args:
        package: Its ``__name__``.
        homes: The module that defines each name, relative to the package.
        subpackages: Those that need no import of their own.

    Names whose modules need what is not installed raise ``ToolchainError``.
    """

    class Package(ModuleType):
        def __getattr__(self, name: str) -> Any:
            value: Any
            if name in homes:
                value = getattr(_imported(f"{package}.{homes[name]}"), name)
            elif name in subpackages:
                value = _imported(f"{package}.{name}")
            else:
                message = f"module {package!r} has no attribute {name!r}"
                raise AttributeError(message, name=name, obj=self)
            setattr(self, name, value)
            return value

        def __setattr__(self, name: str, value: Any) -> None:
            # Importing a submodule binds its name here, where a function of that name belongs.
            if not (name in homes and isinstance(value, ModuleType)):
                super().__setattr__(name, value)

        def __dir__(self) -> list[str]:
            return sorted({*super().__dir__(), *homes, *subpackages})

    sys.modules[package].__class__ = Package


def _imported(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        told = missing_half(error)
        if told is None:
            raise
        # By its name, as all that this module imports: whoever is imported knows this module.
        exceptions = importlib.import_module("mcuformer_tflm.keras_models.exceptions")
        raise exceptions.ToolchainError(told) from error
