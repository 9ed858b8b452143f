"""A weight-entangled supernet: every subnet takes the leading rows and columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.fully_connected import FullyConnected
from mcuformer_tflm.keras_models.layer_norm import LayerNorm
from mcuformer_tflm.keras_models.mean_pool import MeanPool
from mcuformer_tflm.keras_models.patch_embed import PatchEmbed
from mcuformer_tflm.keras_models.subnet import Subnet, block_layers, build_subnet


class Supernet(tf_keras.Model):
    """The largest network's weights, run at any smaller size without retracing.

    The architecture travels as an int32 tensor (``encode``), so that one ``tf.function``
    serves every subnet: weights are sliced inside the graph, and blocks beyond the depth are
    skipped by ``tf.cond``.

    Args:
        largest: The network that holds the weights. All subnets share its ``patch_size``,
            ``rank_ratio`` and ``head_dim``.
        **kwargs: As for Keras' Model.
    """

    def __init__(self, largest: Architecture, **kwargs: Any) -> None:
        """Creates all weights."""
        super().__init__(**kwargs)
        self.largest = largest
        self.patch_embed = PatchEmbed(largest.embed_dim, largest.patch_size, name="patch_embed")
        self.blocks = [block_layers(largest, block) for block in range(largest.depth)]
        self.norm = LayerNorm(name="norm")
        self.mean_pool = MeanPool(name="mean_pool")
        self.head = FullyConnected(largest.num_classes, name="head")
        # Every layer must see the greatest width before a sliced input reaches it.
        tokens, dim = [None, None], largest.embed_dim
        self.patch_embed.build([None, largest.image_size, largest.image_size, largest.channels])
        for block, layers in enumerate(self.blocks):
            widths = {
                "attention": 3 * largest.attention_dim(block),
                "projection": largest.attention_dim(block),
                "fc1_v": largest.rank,
                "gelu": largest.hidden_dim(block),
                "fc2_u": largest.hidden_dim(block),
                "fc2_v": largest.rank,
            }
            for name, layer in layers.items():
                layer.build(tf.TensorShape([*tokens, widths.get(name, dim)]))
        self.norm.build(tf.TensorShape([*tokens, dim]))
        self.mean_pool.build(tf.TensorShape([*tokens, dim]))
        self.head.build(tf.TensorShape([None, dim]))
        self.built = True

    def encode(self, architecture: Architecture) -> np.ndarray:
        """Returns the sizes that slicing needs: int32[3 + 2 * depth of the largest].

        Raises:
            ConfigError: If the architecture is no subnet of this supernet.
        """
        arch, largest = architecture, self.largest
        for field in ("image_size", "channels", "num_classes", "patch_size", "rank_ratio",
                      "head_dim"):  # fmt: skip
            if getattr(arch, field) != getattr(largest, field):
                raise ConfigError(
                    f"{field} is {getattr(arch, field)}, but this supernet was built with "
                    f"{getattr(largest, field)}; build a supernet of that space instead."
                )
        if arch.embed_dim > largest.embed_dim or arch.depth > largest.depth:
            raise ConfigError(
                f"embed_dim {arch.embed_dim} and depth {arch.depth} exceed this supernet's "
                f"{largest.embed_dim} and {largest.depth}."
            )
        sizes = np.ones((2, largest.depth), np.int32)
        for block in range(arch.depth):
            sizes[:, block] = arch.attention_dim(block), arch.hidden_dim(block)
            if arch.num_heads[block] > largest.num_heads[block] or sizes[
                1, block
            ] > largest.hidden_dim(block):
                raise ConfigError(
                    f"num_heads or mlp_ratio of block {block} exceed this supernet's "
                    f"{largest.num_heads[block]} and {largest.mlp_ratio[block]}."
                )
        head = [arch.embed_dim, arch.depth, arch.rank]
        return np.concatenate([head, sizes.ravel()]).astype(np.int32)

    def call(
        self, images: tf.Tensor, architecture: tf.Tensor | None = None, training: bool | None = None
    ) -> tf.Tensor:
        """Runs one subnet; the largest when ``architecture`` is not given.

        Args:
            images: float[batch, height, width, channels] in [-1, 1).
            architecture: int32 sizes from ``encode``.
            training: As in Keras.

        Returns:
            float[batch, num_classes] logits.
        """
        if architecture is None:
            architecture = tf.constant(self.encode(self.largest))
        embed_dim, depth, rank = architecture[0], architecture[1], architecture[2]
        x = self.patch_embed(images, embed_dim=embed_dim)
        for block, layers in enumerate(self.blocks):
            attention_dim = architecture[3 + block]
            hidden_dim = architecture[3 + self.largest.depth + block]

            def run(
                x: tf.Tensor = x,
                layers: dict[str, Any] = layers,
                attention_dim: tf.Tensor = attention_dim,
                hidden_dim: tf.Tensor = hidden_dim,
            ) -> tf.Tensor:
                y = layers["qkv"](layers["norm_1"](x), units=3 * attention_dim)
                x = layers["projection"]([layers["attention"](y), x], units=embed_dim)
                y = layers["fc1_v"](layers["fc1_u"](layers["norm_2"](x), units=rank),
                                    units=hidden_dim)  # fmt: skip
                y = layers["fc2_u"](layers["gelu"](y), units=rank)
                return layers["fc2_v"]([y, x], units=embed_dim)

            x = tf.cond(depth > block, run, lambda x=x: x)
        return self.head(self.mean_pool(self.norm(x)), units=self.largest.num_classes)

    def extract(self, architecture: Architecture) -> Subnet:
        """Returns one subnet as a model of its own, with a copy of its share of the weights.

        Raises:
            ConfigError: If the architecture is no subnet of this supernet.
        """
        self.encode(architecture)
        subnet = build_subnet(architecture)
        sources = [self.patch_embed]
        for layers in self.blocks[: architecture.depth]:
            sources += layers.values()
        sources += [self.norm, self.mean_pool, self.head]
        for source, target in zip(sources, subnet.operators(), strict=True):
            parts = getattr(source, "parts", 1)
            for full, part in zip(source.weights, target.weights, strict=True):
                part.assign(_leading(full.numpy(), part.shape, parts))
        return subnet


def _leading(weight: np.ndarray, shape: Any, parts: int) -> np.ndarray:
    grouped = weight.reshape(*weight.shape[:-1], parts, -1)
    for axis, size in enumerate([*shape[:-1], parts, shape[-1] // parts]):
        grouped = np.take(grouped, range(size), axis)
    return grouped.reshape(shape)
