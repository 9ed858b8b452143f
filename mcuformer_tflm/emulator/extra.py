"""Packages that only those need who emulate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mcuformer_tflm.keras_models.exceptions import ToolchainError


@contextmanager
def emulator_extra() -> Iterator[None]:
    """Tells how to install what an import statement does not find.

    Raises:
        ToolchainError: If a package of the extra ``emulator`` is missing.
    """
    try:
        yield
    except ImportError as error:
        raise ToolchainError(
            f"The Python package {error.name} is missing, which reads and emulates firmware. Run "
            "`pip install 'mcuformer-tflm[emulator]'`."
        ) from error
