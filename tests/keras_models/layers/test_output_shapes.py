"""A layer tells the shape that Keras would learn by running it, and none where that is refused."""

import pytest
import tensorflow as tf
import tf_keras

from mcuformer_tflm.keras_models.layers.attention import Attention
from mcuformer_tflm.keras_models.layers.conv_stem import ConvStem
from mcuformer_tflm.keras_models.layers.fully_connected import FullyConnected
from mcuformer_tflm.keras_models.layers.gelu import Gelu
from mcuformer_tflm.keras_models.layers.layer_norm import LayerNorm
from mcuformer_tflm.keras_models.layers.mean_pool import MeanPool
from mcuformer_tflm.keras_models.layers.patch_embed import PatchEmbed

TOLD = {
    "units": (lambda: FullyConnected(5), [(4, 6)]),
    "units of any number of tokens": (lambda: FullyConnected(5), [(None, 6)]),
    "units of no tokens": (lambda: FullyConnected(5), [(6,)]),
    "units and a residual": (lambda: FullyConnected(5), [(4, 6), (4, 5)]),
    "norm": (LayerNorm, [(4, 6)]),
    "gelu": (Gelu, [(None, 6)]),
    "pool": (MeanPool, [(4, 6)]),
    "attention": (lambda: Attention(2), [(4, 12)]),
    "positions": (lambda: Attention(2, (2, 3)), [(6, 12)]),
    "positions and a class token": (lambda: Attention(2, (2, 3), class_token=True), [(7, 12)]),
    "patches": (lambda: PatchEmbed(6, 4), [(7, 9, 3)]),
    "convolutions": (lambda: ConvStem(8, 4), [(7, 9, 3)]),
}
NOT_TOLD = {
    "residual of another width": (lambda: FullyConnected(5), [(4, 6), (4, 6)]),
    "residual of one token": (lambda: FullyConnected(5), [(4, 6), (1, 5)]),
    "gelu of two": (Gelu, [(4, 6), (4, 6)]),
    "pool of an image": (MeanPool, [(4, 4, 6)]),
    "attention of no whole head": (lambda: Attention(2), [(4, 10)]),
    "attention of another grid": (lambda: Attention(2, (2, 3)), [(7, 12)]),
    "attention of any number of tokens": (lambda: Attention(2), [(None, 12)]),
    "patches of an unknown height": (lambda: PatchEmbed(6, 4), [(None, 9, 3)]),
}


def outcome(make, shapes, dtype="float32"):
    """Returns shape and dtype of the output, or the kind of error."""
    inputs = [tf_keras.Input(shape, dtype=dtype) for shape in shapes]
    try:
        output = make()(inputs if len(inputs) > 1 else inputs[0])
    except Exception as error:
        return type(error)
    return tuple(output.shape), output.dtype


@pytest.mark.parametrize("case", [*TOLD, *NOT_TOLD])
def test_shape_is_told_as_keras_learns_it_or_left_to_it(case, monkeypatch):
    make, shapes = {**TOLD, **NOT_TOLD}[case]
    found = outcome(make, shapes)
    told = make().output_shape_of(*((None, *shape) for shape in shapes))
    assert (told is not None) == (case in TOLD)
    monkeypatch.setattr(type(make()), "output_shape_of", lambda *_: None)
    assert found == outcome(make, shapes)


def test_layer_of_another_dtype_or_made_before_is_run(monkeypatch):
    layer = FullyConnected(5)
    first = layer(tf_keras.Input((4, 6)))
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        layer(tf_keras.Input((4, 7)))
    assert tuple(first.shape) == (None, 4, 5)
    assert outcome(Gelu, [(4, 6)], "float16") == ((None, 4, 6), tf.float32)


def test_outline_is_gone_once_the_network_is_made():
    layer = Gelu()
    network = tf_keras.Model(image := tf_keras.Input((4, 6)), layer(image))
    assert "call" not in vars(layer)
    x = tf.ones((1, 4, 6))
    tf.debugging.assert_near(network(x), x * tf.sigmoid(1.702))
