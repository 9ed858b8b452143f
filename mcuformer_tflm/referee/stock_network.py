"""A subnet written again in stock Keras layers, which share no code with ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from mcuformer_tflm.keras_models.layers.attention import Attention
from mcuformer_tflm.keras_models.layers.conv_stem import LEAST_SQUARES, ConvStem
from mcuformer_tflm.keras_models.layers.fully_connected import FullyConnected
from mcuformer_tflm.keras_models.layers.layer_norm import EPSILON, LayerNorm
from mcuformer_tflm.keras_models.layers.patch_embed import PatchEmbed
from mcuformer_tflm.keras_models.subnet import Subnet


def stock_network(subnet: Subnet) -> tf_keras.Model:
    """Returns the float network of a subnet's weights, of stock layers and TensorFlow operators.

    Every option of ``Architecture`` is covered. It is a referee, so that no layer of ours runs
    in it: patches are cut by strided convolutions, queries, keys and values come from three
    layers, and nothing has more than four dimensions, as TFLM wants it.

    Args:
        subnet: Float or quantized; of a quantized one, the weights before they are rounded.

    Returns:
        A model from float[batch, height, width, channels] in [-1, 1) to
        float[batch, num_classes] logits.
    """
    arch = subnet.architecture
    layers: dict[str, Any] = {layer.name: layer for layer in subnet.operators()}
    image = tf_keras.Input(subnet.input_shape[1:], name="image")
    cut = _convolutions if arch.stem == "conv" else _patches
    x = cut(layers[arch.stem_name], image)
    if arch.pooling == "class_token":
        token = layers["class_token"].token.numpy()[None, None]
        x = tf.concat([tf.zeros_like(x[:, :1]) + token, x], axis=1)
    for block in range(arch.depth):
        prefix = f"block_{block}_"
        part = {
            name.removeprefix(prefix): layer
            for name, layer in layers.items()
            if name.startswith(prefix)
        }
        x = x + _attend(part, _normalise(part["norm_1"], x), arch.num_heads[block])
        y = _matrix(part, "fc1", _normalise(part["norm_2"], x))
        x = x + _matrix(part, "fc2", y * tf.sigmoid(1.702 * y))
    x = _normalise(layers["norm"], x)
    x = x[:, 0] if arch.pooling == "class_token" else tf.reduce_mean(x, axis=1)
    head = layers["head"]
    return tf_keras.Model(image, _dense(head.kernel, head.bias)(x), name="stock")


def _patches(patch_embed: PatchEmbed, image: tf.Tensor) -> tf.Tensor:
    kernel, bias = patch_embed.kernel.numpy(), patch_embed.bias.numpy()
    position = patch_embed.position.numpy()
    side, width = kernel.shape[0], kernel.shape[-1]
    convolution = tf_keras.layers.Conv2D(
        width, side, side, "same", weights=[kernel, bias], name="patches"
    )
    return tf.reshape(convolution(image), [-1, *position.shape]) + position


def _convolutions(conv_stem: ConvStem, image: tf.Tensor) -> tf.Tensor:
    x, position = image, conv_stem.position.numpy()
    for stage in conv_stem.stages:
        kernel = getattr(conv_stem, f"kernel_{stage}").numpy()
        bias = getattr(conv_stem, f"bias_{stage}").numpy()
        if conv_stem.standardised:
            kernel = _standardised(kernel) * getattr(conv_stem, f"gain_{stage}").numpy()
        convolution = tf_keras.layers.Conv2D(
            len(bias), 3, 2, activation="relu", weights=[kernel, bias], name=f"stage_{stage}"
        )
        x = convolution(tf_keras.layers.ZeroPadding2D()(x))
    x = tf.reshape(x, [-1, len(position), x.shape[-1]])
    return _dense(conv_stem.kernel, conv_stem.bias)(x) + position


def _standardised(kernel: np.ndarray) -> np.ndarray:
    units = kernel.reshape(-1, kernel.shape[-1]).astype(np.float64)
    units -= units.mean(0)
    units /= np.sqrt(np.maximum((units**2).sum(0), LEAST_SQUARES))
    return units.reshape(kernel.shape).astype(np.float32)


def _normalise(norm: LayerNorm, x: tf.Tensor) -> tf.Tensor:
    centred = x - tf.reduce_mean(x, axis=-1, keepdims=True)
    variance = tf.reduce_mean(centred * centred, axis=-1, keepdims=True)
    return centred * tf.math.rsqrt(variance + EPSILON) * norm.gamma.numpy() + norm.beta.numpy()


def _attend(part: dict[str, Any], x: tf.Tensor, heads: int) -> tf.Tensor:
    attention: Attention = part["attention"]
    tokens, size = x.shape[1], attention.head_dim

    def by_head(column: int) -> tf.Tensor:
        columns = slice(column * heads * size, (column + 1) * heads * size)
        y = tf.reshape(_matrix(part, "qkv", x, columns), [-1, tokens, heads, size])
        return tf.transpose(y, [0, 2, 1, 3])

    query, key, value = map(by_head, range(3))
    logits = tf.matmul(query, key, transpose_b=True) * size**-0.5
    if attention.grid is not None:
        logits = logits + attention.relative_bias.numpy()[:, attention.distances][None]
    context = tf.transpose(tf.matmul(tf.nn.softmax(logits), value), [0, 2, 1, 3])
    return _matrix(part, "projection", tf.reshape(context, [-1, tokens, heads * size]))


def _matrix(
    part: dict[str, Any], name: str, x: tf.Tensor, columns: slice = slice(None)
) -> tf.Tensor:
    if f"{name}_u" in part:
        first: FullyConnected = part[f"{name}_u"]
        x, name = _dense(first.kernel, first.bias)(x), f"{name}_v"
    layer: FullyConnected = part[name]
    return _dense(layer.kernel[:, columns], layer.bias[columns])(x)


def _dense(kernel: tf.Tensor, bias: tf.Tensor) -> tf_keras.layers.Dense:
    weights = [np.asarray(kernel), np.asarray(bias)]
    return tf_keras.layers.Dense(weights[1].shape[0], weights=weights)
