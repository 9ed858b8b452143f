"""Networks of our layers in another order than a subnet's."""

import numpy as np
import tf_keras

from mcuformer_tflm.keras_models import (
    Add,
    Attention,
    ConvStem,
    FullyConnected,
    Gelu,
    LayerNorm,
    MeanPool,
    PatchEmbed,
    TokenPool,
)

IMAGE_SHAPE = (16, 24, 3)


def block(x, name, heads=2, head_dim=4, hidden=12, rank=None):
    """Returns the tokens after one block of attention and MLP."""
    width = x.shape[-1]

    def matrix(y, units, part, residual=None):
        if rank is not None:
            y = FullyConnected(rank, name=f"{name}_{part}_u")(y)
        joined = y if residual is None else [y, residual]
        return FullyConnected(units, name=f"{name}_{part}")(joined)

    y = LayerNorm(name=f"{name}_norm_1")(x)
    y = FullyConnected(3 * heads * head_dim, parts=3, name=f"{name}_qkv")(y)
    y = Attention(head_dim, name=f"{name}_attention")(y)
    x = FullyConnected(width, name=f"{name}_projection")([y, x])
    y = matrix(LayerNorm(name=f"{name}_norm_2")(x), hidden, "fc1")
    return matrix(Gelu(name=f"{name}_gelu")(y), width, "fc2", x)


def drawn(model, seed=0):
    """Returns the model with weights that are neither zero nor one."""
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        weight.assign_add(0.1 * rng.standard_normal(weight.shape))
    return model


def two_stems():
    """A fine and a coarse stem, joined; pooling between blocks; two heads, tokens, an embedding."""
    image = tf_keras.Input(IMAGE_SHAPE, name="image")
    fine = TokenPool((8, 12), name="fine_pool")(PatchEmbed(8, 2, name="fine")(image))
    x = block(Add(name="joined")([fine, ConvStem(8, 4, name="coarse")(image)]), "a", rank=3)
    tokens = block(TokenPool((4, 6), name="pool")(x), "b")
    embedding = MeanPool(name="embedding")(LayerNorm(name="norm")(tokens))
    kind = FullyConnected(5, name="kind")(embedding)
    return drawn(tf_keras.Model(image, [kind, tokens, FullyConnected(2, name="age")(embedding)]))


def images(count=8, seed=1):
    """Returns uint8[count, height, width, channels]."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, *IMAGE_SHAPE), dtype=np.uint8)
