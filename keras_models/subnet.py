"""One vision transformer as an ordinary tf_keras model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import tf_keras

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.attention import Attention
from mcuformer_tflm.keras_models.exceptions import DataError
from mcuformer_tflm.keras_models.fully_connected import FullyConnected
from mcuformer_tflm.keras_models.gelu import Gelu
from mcuformer_tflm.keras_models.layer_norm import LayerNorm
from mcuformer_tflm.keras_models.mean_pool import MeanPool
from mcuformer_tflm.keras_models.patch_embed import PatchEmbed
from mcuformer_tflm.keras_models.quantizers import QuantizableLayer


def block_layers(
    architecture: Architecture, block: int, quantized: bool = False
) -> dict[str, QuantizableLayer]:
    """Makes the layers of one block by name, in the order in which they run."""
    prefix = f"block_{block}_"
    arch = architecture
    layers: dict[str, QuantizableLayer] = {}

    def fully_connected(name: str, units: int, parts: int = 1) -> None:
        layers[name] = FullyConnected(units, parts, quantized=quantized, name=prefix + name)

    layers["norm_1"] = LayerNorm(quantized=quantized, name=prefix + "norm_1")
    fully_connected("qkv", 3 * arch.attention_dim(block), parts=3)
    layers["attention"] = Attention(arch.head_dim, quantized=quantized, name=prefix + "attention")
    fully_connected("projection", arch.embed_dim)
    layers["norm_2"] = LayerNorm(quantized=quantized, name=prefix + "norm_2")
    # Eq. 1: each matrix of the MLP is a product of two factors of the same rank.
    fully_connected("fc1_u", arch.rank)
    fully_connected("fc1_v", arch.hidden_dim(block))
    layers["gelu"] = Gelu(quantized=quantized, name=prefix + "gelu")
    fully_connected("fc2_u", arch.rank)
    fully_connected("fc2_v", arch.embed_dim)
    return layers


def build_subnet(architecture: Architecture, quantized: bool = False) -> Subnet:
    """Builds one network with fresh weights.

    Args:
        architecture: What to build.
        quantized: Whether its layers own TF-MOT quantizers.

    Returns:
        A model from float[batch, image_size, image_size, channels] in [-1, 1) to
        float[batch, num_classes] logits.
    """
    arch = architecture
    image = tf_keras.Input((arch.image_size, arch.image_size, arch.channels), name="image")
    patch_embed = PatchEmbed(
        arch.embed_dim, arch.patch_size, quantized=quantized, name="patch_embed"
    )
    x = patch_embed(image)
    for block in range(arch.depth):
        layers = block_layers(arch, block, quantized)
        y = layers["attention"](layers["qkv"](layers["norm_1"](x)))
        x = layers["projection"]([y, x])
        y = layers["fc1_v"](layers["fc1_u"](layers["norm_2"](x)))
        x = layers["fc2_v"]([layers["fc2_u"](layers["gelu"](y)), x])
    x = LayerNorm(quantized=quantized, name="norm")(x)
    x = MeanPool(quantized=quantized, name="mean_pool")(x)
    logits = FullyConnected(arch.num_classes, quantized=quantized, name="head")(x)
    model = Subnet(image, logits, name="subnet")
    model.architecture = arch
    model.quantized = quantized
    return model


class Subnet(tf_keras.Model):
    """A tf_keras functional model that knows its ``architecture``.

    Attributes:
        architecture: What the network is.
        quantized: Whether its layers own TF-MOT quantizers.
    """

    architecture: Architecture
    quantized: bool

    def operators(self) -> Iterator[QuantizableLayer]:
        """Yields the layers that become operators, in the order in which they run."""
        for layer in self.layers:
            if isinstance(layer, QuantizableLayer):
                yield layer

    def quantized_copy(self, calibration: Iterable[np.ndarray]) -> Subnet:
        """Returns the same network with TF-MOT quantizers, ranges set by data.

        Args:
            calibration: Batches of images, float32[batch, height, width, channels] in [-1, 1).

        Returns:
            A model for quantization-aware training; its weights start at this one's.

        Raises:
            DataError: If there is no calibration batch.
        """
        copy = build_subnet(self.architecture, quantized=True)
        for source, target in zip(self.operators(), copy.operators(), strict=True):
            for variable in source.trainable_weights:
                name = variable.name.split("/")[-1].removesuffix(":0")
                getattr(target, name).assign(variable)
            target.set_calibrating(True)
        seen = 0
        for batch in calibration:
            # Training mode makes TF-MOT's weight quantizers take the range of the weights.
            copy(batch, training=True)
            seen += len(batch)
        if seen == 0:
            raise DataError("Calibration got no images; give at least one batch.")
        for target in copy.operators():
            target.set_calibrating(False)
        return copy
