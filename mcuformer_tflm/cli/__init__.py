"""The command ``mcuformer``: a module a command, whose shared options are in ``options``.

A command imports what it needs when it runs, so that each starts at once, and TensorFlow is loaded
by those alone that need it. Nothing below imports from here.
"""

from mcuformer_tflm.cli.application import app, main

__all__ = ["app", "main"]
