"""A functional model of our layers, in any order, that can be quantized."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any, Self

import numpy as np
import tf_keras

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.image_network import ImageNetwork
from mcuformer_tflm.keras_models.layers.fully_connected import FullyConnected
from mcuformer_tflm.keras_models.network_graph import NetworkGraph, Node, read_network
from mcuformer_tflm.keras_models.quantization.calibration import calibrate
from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
from mcuformer_tflm.keras_models.quantization.quantizers import PACKAGE, QuantizableLayer


@tf_keras.utils.register_keras_serializable(PACKAGE)
class Network(ImageNetwork, tf_keras.Model):
    """A tf_keras functional model of our layers: ``Network(image, outputs)``.

    It is saved, loaded, cloned, copied and pickled as any; ranges of quantizers, and whether they
    are frozen, are part of its weights.
    """

    def graph(self) -> NetworkGraph:
        """Returns its layers as a graph."""
        return read_network(self)

    def operators(self) -> Iterator[QuantizableLayer]:
        """Yields the layers that become operators, in the order in which they run."""
        for node in self.graph().nodes:
            yield node.layer

    @property
    def quantized(self) -> bool:
        """Whether its layers own TF-MOT quantizers."""
        return all(layer.quantized for layer in self.operators())

    def check_quantized(self) -> None:
        """Checks that its layers own TF-MOT quantizers.

        Raises:
            ConfigError: If they do not.
        """
        if not self.quantized:
            raise ConfigError(
                f"The network {self.name} is not quantized; pass it through quantize(...) first."
            )

    def float_copy(self) -> Self:
        """Returns the same network in floating point, with the same weights."""
        return self._copy(None)

    def quantized_copy(
        self, calibration: Iterable[np.ndarray], config: QuantizationConfig | None = None
    ) -> Self:
        """Returns the same network with TF-MOT quantizers, ranges set by data.

        Args:
            calibration: Batches of images, float32[batch, height, width, channels] in [-1, 1).
            config: How to quantize; 8 bits by default.

        Returns:
            A model for quantization-aware training; its weights start at this one's.

        Raises:
            DataError: If there is no calibration batch, or the network computes values on it
                that are no numbers.
        """
        copy = self.uncalibrated_copy(config)
        calibrate(copy, calibration)
        return copy

    def uncalibrated_copy(self, config: QuantizationConfig | None = None) -> Self:
        """Returns the same network with TF-MOT quantizers, for ``calibrate``."""
        return self._copy(config or QuantizationConfig())

    def freeze_ranges(self) -> None:
        """Keeps the ranges of all activations as they are, whatever is trained on."""
        for layer in self.operators():
            layer.freeze_ranges()

    def update_weight_ranges(self) -> None:
        """Takes the ranges of all weights from the weights as they are now."""
        for layer in self.operators():
            layer.update_weight_ranges()

    def _copy(self, quantization: QuantizationConfig | None) -> Self:
        graph = self.graph()
        image = tf_keras.Input(graph.image_shape, name=graph.image)
        made: dict[str, Any] = {graph.image: image}
        for node in graph.nodes:
            sources = [made[name] for name in node.sources]
            layer = _like(node, graph, quantization)
            made[node.name] = layer(sources if len(sources) > 1 else sources[0])
            layer.copy_weights(node.layer)
        outputs = [made[name] for name in graph.outputs]
        copy = self._of(image, outputs if len(outputs) > 1 else outputs[0], quantization)
        copy.graph()  # which tells of widths that do not go together
        return copy

    def _of(self, image: Any, outputs: Any, quantization: QuantizationConfig | None) -> Self:
        # The network of copied layers.
        del quantization
        return type(self)(image, outputs, name=self.name)


def as_network(model: Any, field: str = "network") -> Network:
    """Returns a functional model of our layers as a ``Network``, which shares them.

    Raises:
        ConfigError: If it is none (``read_network``).
    """
    read_network(model, field)
    if isinstance(model, Network):
        return model
    outputs = model.outputs if len(model.outputs) > 1 else model.outputs[0]
    return Network(model.inputs[0], outputs, name=model.name)


def _like(
    node: Node, graph: NetworkGraph, quantization: QuantizationConfig | None
) -> QuantizableLayer:
    config = node.layer.get_config() | {"trainable": True}
    if quantization is not None and _is_head(node, graph):
        quantization = quantization.of_head()
    config["quantization"] = quantization and dataclasses.asdict(quantization)
    return type(node.layer).from_config(config)


def _is_head(node: Node, graph: NetworkGraph) -> bool:
    alone = len(node.sources) == 1
    return isinstance(node.layer, FullyConnected) and alone and node.name in graph.outputs


# Keras' HDF5 and JSON forms name a model by its class without the package.
tf_keras.utils.get_custom_objects()[Network.__name__] = Network
