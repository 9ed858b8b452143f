"""Keras' setting for a whole process, which networks here do not follow."""

from __future__ import annotations

import tf_keras

from mcuformer_tflm.keras_models.exceptions import ConfigError


def check_global_policy() -> None:
    """Checks that layers which are told nothing else compute in float32.

    A network under another policy would train, and then quantize wrongly or not at all.

    Raises:
        ConfigError: If ``tf_keras.mixed_precision.set_global_policy`` or ``set_floatx`` said
            otherwise.
    """
    name = tf_keras.mixed_precision.global_policy().name
    if name != "float32":
        raise ConfigError(
            f"The global policy of tf_keras is {name!r}; subnets compute in 'float32', whatever "
            "the precision of their supernet (build_supernet(precision=...)). Call "
            "tf_keras.mixed_precision.set_global_policy('float32') first."
        )
