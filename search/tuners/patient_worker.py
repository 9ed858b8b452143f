"""A worker's calls of its chief, made again where the chief dies while it answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc

_TIMES, _PAUSE_SECONDS = 10, 1.0


class PatientStub:
    """Makes a call again that a chief's death broke off, which waits for the next chief.

    A chief hands a worker its own trial again and takes a result in once, so that to ask twice
    changes nothing.

    Args:
        stub: Of keras-tuner's ``OracleClient``, whose calls wait for a chief that is not there yet.
    """

    def __init__(self, stub: Any) -> None:
        """Takes the stub."""
        self._stub = stub

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._stub, name)

        def patient(*arguments: Any, **options: Any) -> Any:
            for _ in range(_TIMES):
                try:
                    return call(*arguments, **options)
                except grpc.RpcError as error:
                    if error.code() != grpc.StatusCode.UNAVAILABLE:
                        raise
                    time.sleep(_PAUSE_SECONDS)
            return call(*arguments, **options)

        return patient
