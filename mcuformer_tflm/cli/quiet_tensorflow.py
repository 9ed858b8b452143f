"""TensorFlow without the pages that it writes to standard error."""

from __future__ import annotations

import logging
import os


def quieten_tensorflow() -> None:
    """Sets its log levels, which it reads when it is imported, now or later."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def import_tensorflow_quietly(*, start: bool = True) -> None:
    """Imports it without its page about CUDA, and starts XLA without its own.

    Their C++ side writes that to descriptor 2 whatever the log level. An import that fails raises
    and is told as ever.

    Args:
        start: Whether XLA is started; not where this process forks, since a fork of one that has
            computed has none of TensorFlow's threads.
    """
    saved = os.dup(2)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            import tensorflow as tf

            if start:
                tf.function(tf.identity, autograph=False, jit_compile=True)(tf.constant(0))
        finally:
            os.dup2(saved, 2)
            os.close(saved)
