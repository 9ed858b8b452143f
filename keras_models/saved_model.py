"""Networks of ours from the files that Keras' ``save`` writes."""

from __future__ import annotations

import tf_keras

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import CheckpointError, ConfigError

# Keras knows a layer once its module is loaded; those of subnets the supernet loads.
from mcuformer_tflm.keras_models.layers import add, token_pool  # noqa: F401
from mcuformer_tflm.keras_models.network import Network, as_network
from mcuformer_tflm.keras_models.supernet import Supernet


def load_model(path: AnyPath) -> Network | Supernet:
    """Loads a network that was saved by ``save``.

    ``tf_keras.models.load_model`` does the same where our classes are known to Keras already;
    this makes them known.

    Args:
        path: A ``.keras`` or ``.h5`` file, or a folder in TensorFlow's SavedModel format.

    Returns:
        A ``Subnet`` or a ``Supernet``; of a functional model of our layers the network that
        ``quantize`` and ``convert`` take.

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
    if isinstance(model, Network | Supernet):
        return model
    try:
        return as_network(model, "it")
    except ConfigError as error:
        raise CheckpointError(
            f"{path} holds a {type(model).__name__}; networks of build_subnet(...), "
            "supernet.extract(...), quantize(...) and build_supernet(...) are loaded, and "
            f"functional models of our layers: {error}"
        ) from error
