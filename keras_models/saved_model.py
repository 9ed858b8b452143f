"""Networks of ours from the files that Keras' ``save`` writes."""

from __future__ import annotations

import tf_keras

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import CheckpointError
from mcuformer_tflm.keras_models.subnet import Subnet
from mcuformer_tflm.keras_models.supernet import Supernet


def load_model(path: AnyPath) -> Subnet | Supernet:
    """Loads a network that was saved by ``save``.

    ``tf_keras.models.load_model`` does the same where our classes are known to Keras already;
    this makes them known.

    Args:
        path: A ``.keras`` or ``.h5`` file, or a folder in TensorFlow's SavedModel format.

    Raises:
        CheckpointError: If there is no such file, it is damaged, or of another kind of network.
        ConfigError: If it is no path.
    """
    path = checked_path("path", path)
    try:
        model = tf_keras.models.load_model(path)
    # Keras raises whatever a damaged file leads its many readers to.
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise CheckpointError(f"{path} cannot be loaded as a network: {reason[0]}") from error
    if not isinstance(model, Subnet | Supernet):
        raise CheckpointError(
            f"{path} holds a {type(model).__name__}; networks of build_subnet(...), "
            "supernet.extract(...), quantize(...) and build_supernet(...) are loaded."
        )
    return model
