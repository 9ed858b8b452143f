"""A supernet that starts from another one of its space."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import checked_type
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.layers.attention import Attention
from mcuformer_tflm.keras_models.layers.conv_stem import ConvStem
from mcuformer_tflm.keras_models.layers.patch_embed import PatchEmbed
from mcuformer_tflm.keras_models.layers.stem import Stem
from mcuformer_tflm.keras_models.pretrained.resampling import resize_kernel, resize_positions
from mcuformer_tflm.keras_models.quantization.quantizers import QuantizableLayer
from mcuformer_tflm.keras_models.supernet import Supernet

# In what the supernets of one space differ.
_VARIED = ("patch_size", "rank_ratio", "stem")


def inherit_weights(supernet: Supernet, source: Supernet) -> None:
    """Gives a fresh supernet what a trained one of the same space has learnt, in place.

    Patch kernels are resized by the pseudo-inverse of resizing (``resize_kernel``), positions and
    relative biases are interpolated, and ranks are nested: a pair of higher rank starts with the
    same product as the source's, one of lower rank with its leading part. Of convolutional stems
    the first stage, and those before the projection, are matched. What has no counterpart, such as
    the kernels of another stem, stays as it is.

    Args:
        supernet: With fresh weights, which stay where the source has none.
        source: That differs in nothing but ``patch_size``, ``rank_ratio`` and ``stem``.

    Raises:
        ConfigError: If it differs in something else, or one is no supernet.
    """
    checked_type("supernet", supernet, Supernet)
    checked_type("source", source, Supernet)
    new, old = supernet.largest, source.largest
    for field, value in new.to_dict().items():
        given = getattr(old, field)
        if field not in _VARIED and getattr(new, field) != given:
            raise ConfigError(
                f"{field} is {given} in the source and {value} here; supernets of one space "
                f"differ in {', '.join(_VARIED)} alone."
            )
    trained = {layer.name: layer for layer in source.operators()}
    for layer in supernet.operators():
        if isinstance(layer, Stem):
            _inherit_stem(layer, source.stem, new, old)
        elif isinstance(layer, Attention):
            _inherit_biases(layer, trained[layer.name], new, old)
        elif layer.name.endswith(("_u", "_v")):
            _inherit_pair(layer, trained[layer.name])
        else:
            layer.set_weights(trained[layer.name].get_weights())


def _inherit_stem(layer: Stem, source: Stem, new: Architecture, old: Architecture) -> None:
    grids = (old.grid_height, old.grid_width), (new.grid_height, new.grid_width)
    layer.position.assign(resize_positions(source.position.numpy(), *grids))
    layer.bias.assign(source.bias)
    if isinstance(layer, PatchEmbed) and isinstance(source, PatchEmbed):
        kernel = source.kernel.numpy()
        if new.patch_size != old.patch_size:
            kernel = resize_kernel(kernel.astype(np.float64), new.patch_size)
        layer.kernel.assign(kernel)
    elif isinstance(layer, ConvStem) and isinstance(source, ConvStem):
        layer.kernel.assign(source.kernel)
        # The last stage has the same channels whatever their number, and so on towards the first,
        # which reads the image in both.
        for ours, theirs in zip(reversed(layer.stages), reversed(source.stages), strict=False):
            if min(ours, theirs) > 1:
                _inherit_stage(layer, source, ours, theirs)
        _inherit_stage(layer, source, 1, 1)


def _inherit_stage(layer: ConvStem, source: ConvStem, ours: int, theirs: int) -> None:
    for name in ("kernel", "gain", "bias"):
        _lead(getattr(layer, f"{name}_{ours}"), getattr(source, f"{name}_{theirs}"))


def _inherit_biases(
    layer: Attention, source: Attention, new: Architecture, old: Architecture
) -> None:
    if layer.grid is None:
        return
    # A table of distances, each -(n - 1) to n - 1 patches, over as much of the image in both.
    was, becomes = ((2 * net.grid_height - 1, 2 * net.grid_width - 1) for net in (old, new))
    table = source.relative_bias.numpy()
    distances = was[0] * was[1]
    resized = resize_positions(table[:, :distances].T, was, becomes).T
    # Those of a class token, where there is one, stand behind.
    layer.relative_bias.assign(np.concatenate([resized, table[:, distances:]], 1))


def _inherit_pair(layer: QuantizableLayer, source: QuantizableLayer) -> None:
    # What a higher rank adds: fresh in U, nothing in V, so that the product is the source's.
    if layer.name.endswith("_v"):
        layer.kernel.assign(np.zeros(layer.kernel.shape))
    _lead(layer.kernel, source.kernel)
    _lead(layer.bias, source.bias)


def _lead(variable: tf.Variable, source: tf.Variable) -> None:
    # The leading part that both have.
    value, given = variable.numpy(), source.numpy()
    part = tuple(map(slice, np.minimum(value.shape, given.shape)))
    value[part] = given[part]
    variable.assign(value)
