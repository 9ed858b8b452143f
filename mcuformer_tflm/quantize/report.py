"""How much each layer loses to quantization, the worst first."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import tf_keras
from rich.table import Table

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.drawing import save_picture
from mcuformer_tflm.keras_models.foreign_text import allowed
from mcuformer_tflm.keras_models.images import check_images, to_floats
from mcuformer_tflm.keras_models.network import as_network
from mcuformer_tflm.keras_models.quantization.quantizers import QuantizableLayer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Where a flow of this package draws a report, and the images that it is made of.
SQNR_FILE = "sqnr.png"
SQNR_IMAGES = 256
_BATCH = 64
# Bars of layers that lose nothing end here, in dB.
_LOSSLESS = 90.0
# Inches, in which a legend of three in a line would be cut off.
_NARROW = 6


@dataclasses.dataclass(frozen=True)
class LayerError:
    """What quantization does to one layer.

    A signal-to-quantization-noise ratio (SQNR) is 10 log10(sum x^2 / sum (x - x_q)^2) in dB, with
    x a tensor in floating point and x_q the quantized one; infinite where they are equal.

    Attributes:
        layer: Name of the layer.
        operator: What it computes, by its class.
        sqnr: Of its output alone: both get the inputs that the quantized network gives it, and
            one computes in floating point. What the layer itself adds.
        network_sqnr: Of its output in the quantized network against the network in floating
            point: with what all layers before it add.
        weight_sqnr: Of its weights; None where it has no matrix.
        clipped: Share of the output's values that lie outside the range, 0 to 1.
        low: Least value that its integers stand for, in real units; of the widest column group.
        high: Greatest value.
        num_bits: Of the output.
    """

    layer: str
    operator: str
    sqnr: float
    network_sqnr: float
    weight_sqnr: float | None
    clipped: float
    low: float
    high: float
    num_bits: int


@dataclasses.dataclass(frozen=True)
class QuantizationReport:
    """The layers of a quantized network, that of the least SQNR first.

    Attributes:
        layers: What each loses.
        images: Number of images behind it.
    """

    layers: tuple[LayerError, ...]
    images: int

    def table(self) -> Table:
        """Returns the report for a terminal."""
        table = Table(
            title=f"Quantization error of each layer, {self.images:,} images, worst first",
            caption="SQNR in dB: of the layer alone; of the network up to it; of its weights",
        )
        table.add_column("layer", no_wrap=True)
        for name in ("alone", "net", "weight", "clipped", "range", "bits"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in self.layers:
            table.add_row(
                row.layer, f"{row.sqnr:.1f}", f"{row.network_sqnr:.1f}",
                "" if row.weight_sqnr is None else f"{row.weight_sqnr:.1f}", f"{row.clipped:.3%}",
                f"{row.low:.2g} to {row.high:.2g}", str(row.num_bits),
            )  # fmt: skip
        return table

    def draw(self, path: AnyPath, title: str = "") -> None:
        """Draws a bar for each layer, the worst at the top.

        Args:
            path: Where to, ``.png`` or ``.svg``.
            title: Above the picture.
        """
        title = title or f"Quantization error of each layer, {self.images:,} images"
        save_picture(sqnr_figure(self.layers, title=title), checked_path("path", path))


def sqnr_figure(layers: Sequence[LayerError], *, title: str = "", width: float = 8) -> Figure:
    """Draws a bar for each layer, the first at the top.

    Args:
        layers: What each loses.
        title: Above the picture.
        width: Of the picture, in inches.
    """
    from matplotlib.figure import Figure

    names = [allowed(row.layer, "picture") for row in layers]
    figure = Figure(figsize=(width, 1.6 + 0.22 * len(names)), layout="constrained")
    axes = figure.subplots()
    alone = [_drawn(row.sqnr) for row in layers]
    network = [_drawn(row.network_sqnr) for row in layers]
    weights = [_drawn(row.weight_sqnr) for row in layers]
    axes.barh(names, alone, color="#4c78a8", label="output of the layer alone")
    axes.plot(network, names, "o", color="#f58518", ms=4, label="output in the network")
    axes.plot(weights, names, "|", color="black", ms=8, label="weights")
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.tick_params(axis="y", labelsize=7)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.set(xlabel="signal to quantization noise, dB (less is worse)", title=title)
    columns = 3 if width > _NARROW else 1
    figure.legend(fontsize=8, loc="outside lower center", ncols=columns)
    return figure


def quantization_report(quantized: tf_keras.Model, images: np.ndarray) -> QuantizationReport:
    """Measures what quantization costs each layer of a network.

    The network is compared with itself in floating point, of the same weights, so that what it
    learned since it was quantized does not count as an error.

    Args:
        quantized: A network from ``quantize``, or a functional ``tf_keras.Model`` of its layers.
        images: uint8[n, height, width, channels], or floats in [-1, 1); some hundred do.

    Raises:
        ConfigError: If the network is not quantized, or has a layer that is none of ours.
        DataError: If there are no images, or they are not the network's.
    """
    whole = as_network(quantized, "quantized")
    whole.check_quantized()
    graph = whole.graph()
    check_images(images, graph.image_shape)
    layers = list(whole.operators())
    exact = whole.float_copy()
    inner = {layer.name: layer for layer in exact.operators()}
    quantized_outputs, exact_outputs = (
        tf_keras.Model(network.input, [layer.output for layer in network.operators()])
        for network in (whole, exact)
    )
    alone, network = _Noise(len(layers)), _Noise(len(layers))
    clipped = np.zeros(len(layers))
    for start in range(0, len(images), _BATCH):
        batch = tf.constant(to_floats(images[start : start + _BATCH]))
        given = dict(zip(inner, quantized_outputs(batch), strict=True))
        wanted = exact_outputs(batch)
        for index, (layer, node) in enumerate(zip(layers, graph.nodes, strict=True)):
            sources = [given.get(name, batch) for name in node.sources]
            output = inner[layer.name](sources if len(sources) > 1 else sources[0])
            alone.add(index, output, given[layer.name])
            network.add(index, wanted[index], given[layer.name])
            clipped[index] += _outside(layer, output) * len(batch)
    rows = [
        _layer_error(layer, *figures)
        for layer, *figures in zip(
            layers, alone.ratios(), network.ratios(), clipped / len(images), strict=True
        )
    ]
    return QuantizationReport(tuple(sorted(rows, key=lambda row: row.sqnr)), len(images))


class _Noise:
    # Power of signals and of their errors, summed over batches.

    def __init__(self, count: int) -> None:
        self._signal, self._noise = np.zeros(count), np.zeros(count)

    def add(self, index: int, exact: Any, quantized: Any) -> None:
        wanted = np.asarray(exact, np.float64)
        self._signal[index] += np.sum(wanted**2)
        self._noise[index] += np.sum((wanted - np.asarray(quantized, np.float64)) ** 2)

    def ratios(self) -> list[float]:
        return [_decibel(*pair) for pair in zip(self._signal, self._noise, strict=True)]


def _drawn(ratio: float | None) -> float:
    return math.nan if ratio is None else min(max(ratio, 0.0), _LOSSLESS)


def _decibel(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def _outside(layer: QuantizableLayer, output: Any) -> float:
    # Share of values that saturate in their column group.
    names = layer.output_names
    shares = []
    for name, part in zip(names, np.split(np.asarray(output), len(names), -1), strict=True):
        low, high = layer.unclipped_range(name)
        shares.append(np.mean((part < low) | (part > high)))
    return float(np.mean(shares))


def _layer_error(
    layer: QuantizableLayer, sqnr: float, network_sqnr: float, clipped: float
) -> LayerError:
    names = layer.output_names
    ranges = [layer.integer_range(name) for name in names]
    low, high = max(ranges, key=lambda limits: limits[1] - limits[0])
    signal = noise = 0.0
    for name in layer.kernel_names:
        kernel = getattr(layer, name)
        rounded = layer.fake_quantize(name, kernel, training=False)
        signal += float(tf.reduce_sum(kernel**2))
        noise += float(tf.reduce_sum((kernel - rounded) ** 2))
    weight_sqnr = _decibel(signal, noise) if layer.kernel_names else None
    return LayerError(
        layer=layer.name,
        operator=type(layer).__name__,
        sqnr=sqnr,
        network_sqnr=network_sqnr,
        weight_sqnr=weight_sqnr,
        clipped=float(clipped),
        low=low,
        high=high,
        num_bits=layer.quantizer(names[0]).num_bits,
    )
