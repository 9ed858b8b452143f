"""Names of a package that load on first use."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Collection, Mapping
from types import ModuleType
from typing import Any


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
    """

    class Package(ModuleType):
        def __getattr__(self, name: str) -> Any:
            value: Any
            if name in homes:
                value = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
            elif name in subpackages:
                value = importlib.import_module(f"{package}.{name}")
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
