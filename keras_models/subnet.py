"""One vision transformer as an ordinary tf_keras model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Self

import tensorflow as tf
import tf_keras

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import checked_type
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.global_policy import check_global_policy
from mcuformer_tflm.keras_models.layers.attention import Attention
from mcuformer_tflm.keras_models.layers.class_token import ClassToken, ClassTokenPool
from mcuformer_tflm.keras_models.layers.conv_stem import ConvStem
from mcuformer_tflm.keras_models.layers.fully_connected import FullyConnected, Heads
from mcuformer_tflm.keras_models.layers.gelu import Gelu
from mcuformer_tflm.keras_models.layers.layer_norm import LayerNorm
from mcuformer_tflm.keras_models.layers.mean_pool import MeanPool
from mcuformer_tflm.keras_models.layers.patch_embed import PatchEmbed
from mcuformer_tflm.keras_models.layers.stem import Stem
from mcuformer_tflm.keras_models.network import Network
from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
from mcuformer_tflm.keras_models.quantization.quantizers import PACKAGE, QuantizableLayer

# Layers whose output, or input, is made of heads; of a low-rank pair the factor beside them.
OF_HEADS = ("qkv", "qkv_v", "projection", "projection_u")
_STEMS: dict[str, type[Stem]] = {"patch": PatchEmbed, "conv": ConvStem}


def block_layers(
    architecture: Architecture,
    block: int,
    *,
    quantization: QuantizationConfig | None = None,
    dtype: Any = None,
) -> dict[str, QuantizableLayer]:
    """Makes the layers of one block by name, in the order in which they run."""
    arch = architecture
    layers: dict[str, QuantizableLayer] = {}

    def add(layer: Callable[..., QuantizableLayer], name: str, *args: Any, **kwargs: Any) -> None:
        kwargs |= {"quantization": quantization, "dtype": dtype}
        layers[name] = layer(*args, name=f"block_{block}_{name}", **kwargs)

    def add_pair(name: str, units: int, parts: int = 1) -> None:
        # Eq. 1: the matrix is a product of two factors.
        add(FullyConnected, f"{name}_u", arch.rank)
        add(FullyConnected, f"{name}_v", units, parts)

    def add_matrix(name: str, units: int, parts: int = 1) -> None:
        add(FullyConnected, name, units, parts)

    add_attention = add_pair if arch.low_rank_attention else add_matrix
    add_mlp = add_matrix if arch.rank_ratio is None else add_pair
    grid = (arch.grid_height, arch.grid_width) if arch.relative_position else None
    add(LayerNorm, "norm_1")
    add_attention("qkv", 3 * arch.attention_dim(block), parts=3)
    class_token = arch.pooling == "class_token"
    add(Attention, "attention", arch.head_dim, grid, class_token=class_token)
    add_attention("projection", arch.embed_dim)
    add(LayerNorm, "norm_2")
    add_mlp("fc1", arch.hidden_dim(block))
    add(Gelu, "gelu")
    add_mlp("fc2", arch.embed_dim)
    return layers


def run_block(
    layers: Mapping[str, QuantizableLayer],
    x: tf.Tensor,
    units: Mapping[str, tf.Tensor],
    *,
    heads: Heads | None = None,
) -> tf.Tensor:
    """Runs one block on float[batch, tokens, embed_dim].

    Args:
        layers: From ``block_layers``.
        x: The residual stream.
        units: Width of each fully connected layer's output by name; a layer that is not named
            gives all that it has.
        heads: Those of the attention; None has all.
    """

    def one(name: str, inputs: Any) -> tf.Tensor:
        of_heads = heads if name in OF_HEADS else None
        return layers[name](inputs, units=units.get(name), heads=of_heads)

    def fully_connected(
        name: str, inputs: tf.Tensor, residual: tf.Tensor | None = None
    ) -> tf.Tensor:
        if f"{name}_u" in layers:
            inputs, name = one(f"{name}_u", inputs), f"{name}_v"
        return one(name, inputs if residual is None else [inputs, residual])

    y = fully_connected("qkv", layers["norm_1"](x))
    y = layers["attention"](y, head_dim=None if heads is None else heads.dim)
    x = fully_connected("projection", y, x)
    y = fully_connected("fc1", layers["norm_2"](x))
    return fully_connected("fc2", layers["gelu"](y), x)


def stem_layer(
    architecture: Architecture,
    quantization: QuantizationConfig | None = None,
    *,
    folded: bool = False,
    dtype: Any = None,
) -> Stem:
    """Makes the layer between the image and the tokens; ``folded`` as for ``Subnet``."""
    arch = architecture
    options = {"standardised": False} if folded and arch.stem == "conv" else {}
    return _STEMS[arch.stem](
        arch.embed_dim, arch.patch_size, quantization=quantization, dtype=dtype,
        name=arch.stem_name, **options,
    )  # fmt: skip


def pooling_layer(
    architecture: Architecture, quantization: QuantizationConfig | None = None, *, dtype: Any = None
) -> QuantizableLayer:
    """Makes the layer between the tokens and the classifier."""
    if architecture.pooling == "class_token":
        return ClassTokenPool(quantization=quantization, dtype=dtype, name="class_token_pool")
    return MeanPool(quantization=quantization, dtype=dtype, name="mean_pool")


def build_subnet(
    architecture: Architecture, quantization: QuantizationConfig | None = None
) -> Subnet:
    """Builds one network with fresh weights.

    Args:
        architecture: What to build.
        quantization: How its layers quantize; None builds them in floating point.

    Returns:
        A model from float[batch, height, width, channels] in [-1, 1) to
        float[batch, num_classes] logits.

    Raises:
        ConfigError: If an argument is none of those, or tf_keras has another global policy than
            float32.
    """
    return Subnet(architecture, quantization)


def _tensors(
    architecture: Architecture, quantization: QuantizationConfig | None, folded: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    # The symbolic input and output of a functional model.
    arch = architecture
    image = tf_keras.Input(arch.image_shape, name="image")
    x = stem_layer(arch, quantization, folded=folded)(image)
    if arch.pooling == "class_token":
        x = ClassToken(quantization=quantization, name="class_token")(x)
    for block in range(arch.depth):
        x = run_block(block_layers(arch, block, quantization=quantization), x, {})
    x = LayerNorm(quantization=quantization, name="norm")(x)
    x = pooling_layer(arch, quantization)(x)
    head = quantization and quantization.of_head()
    return image, FullyConnected(arch.num_classes, quantization=head, name="head")(x)


def check_subnet(subnet: Any, field: str = "subnet") -> None:
    """Checks that a network is one of ours.

    Raises:
        ConfigError: If it is not.
    """
    if not isinstance(subnet, Subnet):
        raise ConfigError(
            f"{field} is a {type(subnet).__name__}; give one of the networks of build_subnet(...), "
            "supernet.extract(...) or quantize(...)."
        )


@tf_keras.utils.register_keras_serializable(PACKAGE)
class Subnet(Network):
    """A tf_keras functional model that knows its ``architecture``.

    It is saved, loaded, cloned, copied and pickled as any; ranges of quantizers, and whether they
    are frozen, are part of its weights. ``mcuformer_tflm.load_model`` loads it in every format.

    Args:
        architecture: As for ``build_subnet``.
        quantization: As for ``build_subnet``.
        folded: Whether a network in floating point has kernels as they come out of their
            normalisation, and none of it: so the copy of a quantized one.
        name: Keras' name of the model.

    Attributes:
        architecture: What the network is.
        quantization: How its layers quantize; None in floating point.
    """

    architecture: Architecture
    quantization: QuantizationConfig | None

    def __init__(
        self,
        architecture: Architecture,
        quantization: QuantizationConfig | None = None,
        *,
        folded: bool = False,
        name: str = "subnet",
        tensors: tuple[tf.Tensor, tf.Tensor] | None = None,
    ) -> None:
        """Builds all layers, unless ``tensors`` are the symbolic input and output of such."""
        checked_type("architecture", architecture, Architecture)
        if quantization is not None:
            checked_type("quantization", quantization, QuantizationConfig)
        check_global_policy()
        super().__init__(*(tensors or _tensors(architecture, quantization, folded)), name=name)
        self.architecture = architecture
        self.quantization = quantization

    def get_config(self) -> dict[str, Any]:
        """Returns Keras' configuration of the model."""
        return {
            "name": self.name,
            "architecture": self.architecture.to_json(),
            "quantization": self.quantization and dataclasses.asdict(self.quantization),
            "frozen": [layer.name for layer in self.layers if not layer.trainable],
            **({"folded": True} if self.folded else {}),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Subnet:
        """Builds the model of ``get_config``, with fresh weights."""
        quantization = config["quantization"] and QuantizationConfig(**config["quantization"])
        architecture = Architecture.from_json(config["architecture"])
        folded = config.get("folded", False)
        subnet = cls(architecture, quantization, folded=folded, name=config["name"])
        for name in config["frozen"]:
            subnet.get_layer(name).trainable = False
        return subnet

    @property
    def quantized(self) -> bool:
        """Whether its layers own TF-MOT quantizers."""
        return self.quantization is not None

    @property
    def folded(self) -> bool:
        """Whether it is in floating point with kernels as a quantized network has them."""
        return not self.quantized and not getattr(next(self.operators()), "standardised", True)

    def _of(self, image: Any, outputs: Any, quantization: QuantizationConfig | None) -> Self:
        return type(self)(self.architecture, quantization, tensors=(image, outputs))


# Keras' HDF5 and JSON forms name a model by its class without the package.
tf_keras.utils.get_custom_objects()[Subnet.__name__] = Subnet
