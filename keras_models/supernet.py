"""A weight-entangled supernet: every subnet takes the leading rows and columns."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_args

import numpy as np
import tensorflow as tf
import tf_keras

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import checked_choice, checked_type
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.global_policy import check_global_policy
from mcuformer_tflm.keras_models.image_network import ImageNetwork
from mcuformer_tflm.keras_models.layers.class_token import ClassToken
from mcuformer_tflm.keras_models.layers.fully_connected import FullyConnected, Heads
from mcuformer_tflm.keras_models.layers.layer_norm import LayerNorm
from mcuformer_tflm.keras_models.precision import Precision
from mcuformer_tflm.keras_models.quantization.quantizers import PACKAGE, QuantizableLayer
from mcuformer_tflm.keras_models.subnet import (
    OF_HEADS,
    Subnet,
    block_layers,
    build_subnet,
    pooling_layer,
    run_block,
    stem_layer,
)

# Sizes that stand before those of the blocks in what ``encode`` gives.
_COMMON = 4


@tf_keras.utils.register_keras_serializable(PACKAGE)
class Supernet(ImageNetwork, tf_keras.Model):
    """The largest network's weights, run at any smaller size without retracing.

    The architecture travels as an int32 tensor (``encode``), so that one ``tf.function``
    serves every subnet: weights are sliced inside the graph, and blocks beyond the depth are
    skipped by ``tf.cond``.

    Args:
        largest: The network that holds the weights. All subnets share its ``patch_size``,
            ``rank_ratio``, ``low_rank_attention``, ``relative_position``, ``pooling`` and
            ``stem``; of its heads they have the leading ones, and of each the leading values.
        precision: ``"float32"``, or ``"mixed_bfloat16"``: weights in 32 bits, products in 16.
        **kwargs: As for Keras' Model.

    Raises:
        ConfigError: If ``largest`` is no architecture, ``precision`` is neither, or tf_keras has
            another global policy than float32.
    """

    def __init__(
        self, largest: Architecture, precision: Precision = "float32", **kwargs: Any
    ) -> None:
        """Creates all weights."""
        checked_type("largest", largest, Architecture)
        checked_choice("precision", precision, get_args(Precision))
        check_global_policy()  # which the subnets that are extracted would have
        super().__init__(dtype=precision, **kwargs)
        self.largest = largest
        stem = stem_layer(largest, dtype=precision)
        # By its own name, which is that of its weights in Keras' files.
        setattr(self, stem.name, stem)
        self.class_token = None
        if largest.pooling == "class_token":
            self.class_token = ClassToken(dtype=precision, name="class_token")
        self.blocks = [
            block_layers(largest, block, dtype=precision) for block in range(largest.depth)
        ]
        self.norm = LayerNorm(dtype=precision, name="norm")
        self.pool = pooling_layer(largest, dtype=precision)
        self.head = FullyConnected(largest.num_classes, dtype="float32", name="head")
        # Every layer must see the greatest width before a sliced input reaches it.
        tokens, dim = [None, None], largest.embed_dim
        self.stem.build([None, *largest.image_shape])
        for block, layers in enumerate(self.blocks):
            attention, hidden = largest.attention_dim(block), largest.hidden_dim(block)
            widths = {
                "attention": 3 * attention,
                "projection": attention,
                "projection_u": attention,
                "gelu": hidden,
                "fc2": hidden,
                "fc2_u": hidden,
            }
            for name, layer in layers.items():
                width = largest.rank if name.endswith("_v") else widths.get(name, dim)
                layer.build(tf.TensorShape([*tokens, width]))
        if self.class_token is not None:
            self.class_token.build(tf.TensorShape([*tokens, dim]))
        self.norm.build(tf.TensorShape([*tokens, dim]))
        self.pool.build(tf.TensorShape([*tokens, dim]))
        self.head.build(tf.TensorShape([None, dim]))
        self.built = True

    @property
    def stem(self) -> QuantizableLayer:
        """The layer between the image and the tokens."""
        return getattr(self, self.largest.stem_name)

    def get_config(self) -> dict[str, Any]:
        """Returns Keras' configuration of the model."""
        return {
            "name": self.name,
            "largest": self.largest.to_json(),
            "precision": self.dtype_policy.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Supernet:
        """Builds the model of ``get_config``, with fresh weights."""
        return cls(**{**config, "largest": Architecture.from_json(config["largest"])})

    def encode(self, architecture: Architecture) -> np.ndarray:
        """Returns the sizes that slicing needs: int32[4 + 2 * depth of the largest].

        Raises:
            ConfigError: If the architecture is no subnet of this supernet.
        """
        arch, largest = architecture, self.largest
        for field in ("image_size", "channels", "num_classes", "patch_size", "rank_ratio",
                      "low_rank_attention", "relative_position", "pooling", "stem"):  # fmt: skip
            if getattr(arch, field) != getattr(largest, field):
                raise ConfigError(
                    f"{field} is {getattr(arch, field)}, but this supernet was built with "
                    f"{getattr(largest, field)}; build a supernet of that space instead."
                )
        if (
            arch.embed_dim > largest.embed_dim
            or arch.depth > largest.depth
            or arch.head_dim > largest.head_dim
        ):
            raise ConfigError(
                f"embed_dim {arch.embed_dim}, depth {arch.depth} and head_dim {arch.head_dim} "
                f"exceed this supernet's {largest.embed_dim}, {largest.depth} and "
                f"{largest.head_dim}."
            )
        sizes = np.ones((2, largest.depth), np.int32)
        for block in range(arch.depth):
            sizes[:, block] = arch.num_heads[block], arch.hidden_dim(block)
            if arch.num_heads[block] > largest.num_heads[block] or sizes[
                1, block
            ] > largest.hidden_dim(block):
                raise ConfigError(
                    f"num_heads or mlp_ratio of block {block} exceed this supernet's "
                    f"{largest.num_heads[block]} and {largest.mlp_ratio[block]}."
                )
        common = [arch.embed_dim, arch.depth, arch.rank, arch.head_dim]
        return np.concatenate([common, sizes.ravel()]).astype(np.int32)

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
        embed_dim, depth, rank, head_dim = tf.unstack(architecture[:_COMMON])
        x = self.stem(images, embed_dim=embed_dim)
        if self.class_token is not None:
            x = self.class_token(x)
        for block, layers in enumerate(self.blocks):
            num_heads = architecture[_COMMON + block]
            hidden_dim = architecture[_COMMON + self.largest.depth + block]
            qkv_dim = 3 * num_heads * head_dim
            units = {
                "qkv": qkv_dim,
                "qkv_u": rank,
                "qkv_v": qkv_dim,
                "projection": embed_dim,
                "projection_u": rank,
                "projection_v": embed_dim,
                "fc1_u": rank,
                "fc1": hidden_dim,
                "fc1_v": hidden_dim,
                "fc2": embed_dim,
                "fc2_u": rank,
                "fc2_v": embed_dim,
            }
            most = self.largest.num_heads[block], self.largest.head_dim
            heads = Heads(num_heads, head_dim, most)
            run = functools.partial(run_block, layers, x, units, heads=heads)
            x = tf.cond(depth > block, run, lambda x=x: x)
        return self.head(self.pool(self.norm(x)), units=self.largest.num_classes)

    def operators(self) -> Iterator[QuantizableLayer]:
        """Yields the layers in the order in which they run, as ``Subnet.operators`` does."""
        yield self.stem
        if self.class_token is not None:
            yield self.class_token
        for layers in self.blocks:
            yield from layers.values()
        yield from (self.norm, self.pool, self.head)

    def extract(self, architecture: Architecture) -> Subnet:
        """Returns one subnet as a model of its own, with a copy of its share of the weights.

        Raises:
            ConfigError: If the architecture is no subnet of this supernet.
        """
        self.encode(architecture)
        subnet = build_subnet(architecture)
        sources = {layer.name: layer for layer in self.operators()}
        for target in subnet.operators():
            full, part = (_grouped(target.name, net) for net in (self.largest, architecture))
            for whole, weight in zip(sources[target.name].weights, target.weights, strict=True):
                split = tf.reshape(whole, full(whole.shape))
                leading = split[tuple(map(slice, part(weight.shape)))]
                weight.assign(tf.reshape(leading, weight.shape))
        return subnet


tf_keras.utils.get_custom_objects()[Supernet.__name__] = Supernet


def _grouped(layer: str, network: Architecture) -> Callable[[Sequence[int]], list[int]]:
    # From a weight's shape to one in which each axis that is made of heads is split into them, so
    # that a subnet's share leads along every axis.
    def split(shape: Sequence[int]) -> list[int]:
        if layer.endswith(OF_HEADS):
            heads = [network.num_heads[int(layer.split("_")[1])], network.head_dim]
            if layer.endswith(("_qkv", "_qkv_v")):
                return [*shape[:-1], 3, *heads]
            if len(shape) == 2:  # the kernel, whose input is the heads' context
                return [*heads, shape[1]]
        return list(shape)

    return split
