"""TFLite's file format, by the bindings in TFLM's own wheel.

Those of tflite-support are the same, but of older Pythons alone.
"""

from __future__ import annotations

from mcuformer_tflm.keras_models.exceptions import RuntimeVersionError

try:
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema
except ImportError as error:
    raise RuntimeVersionError(
        f"tflite-micro does not load ({error}), by which models are read and run. Run "
        "`pip install --force-reinstall mcuformer-tflm`, which brings the version that is tested."
    ) from error

__all__ = ["schema"]
