"""TF-MOT quantizers as our layers own them, one for every tensor that the runtime holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.quantization.keras import quantizers as tfmot_quantizers

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.quantization.calibration import Calibration
from mcuformer_tflm.keras_models.quantization.config import INT8, QuantizationConfig
from mcuformer_tflm.keras_models.quantization.fixed_point import constant_function
from mcuformer_tflm.keras_models.quantization.scales import Quantization

# What Keras registers our classes under, since it has an `Attention` of its own.
PACKAGE = "mcuformer"

# TF-MOT's decay of 0.999 suits runs of many thousand steps; ranges here start calibrated.
_EMA_DECAY = 0.99


class CalibratedQuantizer(tfmot_quantizers.MovingAverageQuantizer):
    """TF-MOT's moving-average quantizer, whose range starts at values seen on data.

    During calibration the tensor passes unchanged. Afterwards the range follows the training
    batches slowly, as TF-MOT does it, as long as its layer's ranges are not frozen. Symmetric
    ranges have zero point 0.

    Attributes:
        calibration: What the tensor held so far; None outside calibration.
        beside: Further values that the range must hold, which do not pass through it.
    """

    def __init__(self, num_bits: int = 8, symmetric: bool = False) -> None:
        """Makes a per-tensor quantizer of 8 or 16 bits."""
        super().__init__(
            num_bits=num_bits, per_axis=False, symmetric=symmetric, narrow_range=symmetric
        )
        self.calibration: Calibration | None = None
        self.beside: tf.Variable | None = None

    def __call__(
        self, inputs: tf.Tensor, training: bool, weights: dict[str, tf.Variable], **_: Any
    ) -> tf.Tensor:
        """Fake-quantizes ``inputs``; gradients pass straight through inside the range."""
        if self.calibration is not None:
            self.calibration.see(inputs.numpy())
            return inputs
        low, high = weights["min_var"], weights["max_var"]
        if training:
            step = (1 - _EMA_DECAY) * weights["following"]
            seen = tf.stop_gradient(inputs)
            batch_low, batch_high = self._limits(tf.reduce_min(seen), tf.reduce_max(seen))
            low.assign_sub(step * (low - batch_low))
            high.assign_sub(step * (high - batch_high))
        return tf.quantization.fake_quant_with_min_max_vars(
            inputs, low, high, num_bits=self.num_bits, narrow_range=self.narrow_range
        )

    def finish_calibration(self, weights: dict[str, tf.Variable] | None) -> None:
        """Quantizes again, with the range of what was seen where weights are given for it."""
        if self.calibration is not None and weights is not None:
            low, high = self._limits(*self.calibration.limits)
            weights["min_var"].assign(low)
            weights["max_var"].assign(high)
        self.calibration = None

    def _limits(self, low: Any, high: Any) -> tuple[tf.Tensor, tf.Tensor]:
        # The range holds zero whatever the signs, since integers have a zero point within their
        # range; it is never empty, and as wide to both sides if it is symmetric.
        low, high = tf.minimum(low, 0.0), tf.maximum(high, 0.0)
        if self.beside is not None:
            low = tf.minimum(low, tf.reduce_min(self.beside))
            high = tf.maximum(high, tf.reduce_max(self.beside))
        high = tf.maximum(high, low + 1e-6)
        if self.symmetric:
            high = tf.maximum(-low, high)
            low = -high
        return low, high


class ReluQuantizer(CalibratedQuantizer):
    """Of what ReLU gives: its range starts at zero, which is the integers' lower end then."""

    def build(self, tensor_shape: Any, name: str, layer: Any) -> Any:
        """Creates the range."""
        ranges = super().build(tensor_shape, name, layer)
        ranges["min_var"].assign(0.0)
        return ranges


Shape = tuple[int | None, ...]


class FixedRangeQuantizer(tfmot_quantizers.FixedQuantizer):
    """TF-MOT's quantizer of a range known beforehand, with its number of bits honoured.

    TF-MOT 0.8.1 keeps ``num_bits`` but always rounds to 8.
    """

    def __call__(self, inputs: tf.Tensor, training: bool, weights: Any, **_: Any) -> tf.Tensor:
        """Fake-quantizes ``inputs``."""
        return tf.quantization.fake_quant_with_min_max_args(
            inputs, self.init_min, self.init_max, self.num_bits, self.narrow_range
        )


def weight_quantizer(
    num_bits: int = 8, per_axis: bool = True
) -> tfmot_quantizers.LastValueQuantizer:
    """Returns TF-MOT's symmetric quantizer, with one scale an output channel if ``per_axis``."""
    return tfmot_quantizers.LastValueQuantizer(
        num_bits=num_bits, per_axis=per_axis, symmetric=True, narrow_range=True
    )


def residual_quantizer(config: QuantizationConfig | None) -> CalibratedQuantizer:
    """Returns the quantizer of the residual stream; one of 16 bits is symmetric, as TFLite's."""
    bits = (config or INT8).residual_bits
    return CalibratedQuantizer(bits, symmetric=bits == 16)


class QuantizableLayer(tf_keras.layers.Layer):
    """A layer that owns TF-MOT quantizers when it is ``quantized`` and none otherwise.

    Args:
        quantization: How its tensors are quantized, or the fields of that; None leaves the
            layer in floating point.
        **kwargs: As for Keras' Layer.

    Attributes:
        reads_image: Whether its input is the image, as of a stem; all others read tokens.
    """

    reads_image = False

    def __init__(
        self, quantization: QuantizationConfig | dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Makes the layer; its quantizers come with the first input."""
        super().__init__(**kwargs)
        if isinstance(quantization, dict):
            quantization = QuantizationConfig(**quantization)
        self.quantization = quantization
        self._calibrating = False
        self._under_construction = False
        self._following: tf.Variable | None = None
        self._sources: tuple[Callable[[], list[Quantization]], ...] = ()
        self._quantizers: dict[str, Any] = {}
        self._ranges: dict[str, dict[str, tf.Variable]] = {}

    @property
    def quantized(self) -> bool:
        """Whether its tensors are quantized."""
        return self.quantization is not None

    @property
    def simulates_integers(self) -> bool:
        """Whether it now computes as its integer operator does."""
        config = self.quantization
        return config is not None and config.integer_operators and self.rounds

    @property
    def rounds(self) -> bool:
        """Whether it now rounds its tensors: calibration and construction see them as they are."""
        return self.quantized and not self._calibrating and not self._under_construction

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Runs the layer; while a functional model is built, notes who made its inputs."""
        # Tensors of a model under construction alone have a history.
        made = [x for x in tf.nest.flatten(inputs) if hasattr(x, "_keras_history")]
        makers = [x._keras_history.layer for x in made]
        if makers and all(isinstance(maker, QuantizableLayer) for maker in makers):
            self.follow(*makers)
        if not made:
            return super().__call__(inputs, *args, **kwargs)
        # Keras wants to know a shape and a dtype, and runs the layer in a graph of its own for
        # them, which takes most of the time of building a network. Floats do: the graph of the
        # integers takes ten times as long to trace, and is traced where the model is run.
        self._under_construction = True
        shape = self._told_shape(inputs, *args, *kwargs.values())
        if shape is not None:
            object.__setattr__(self, "call", _outline(self.compute_dtype, shape))
        try:
            return super().__call__(inputs, *args, **kwargs)
        finally:
            self._under_construction = False
            if shape is not None:
                object.__delattr__(self, "call")

    def _told_shape(self, inputs: Any, *options: Any) -> Shape | None:
        tensors = inputs if isinstance(inputs, list) else [inputs]
        if self.built or isinstance(inputs, tuple) or any(x is not None for x in options):
            return None
        if any(x.shape.rank is None or x.dtype != self.compute_dtype for x in tensors):
            return None
        return self.output_shape_of(*(tuple(x.shape) for x in tensors))

    def output_shape_of(self, *shapes: Shape) -> Shape | None:
        """Returns the output's shape where it follows from the inputs' without running the layer.

        Args:
            *shapes: Of the inputs, batch included.

        Returns:
            The shape; None where Keras shall run the layer to learn it, or to say what is wrong.
        """
        del shapes
        return None

    # Kept from Keras, which would count the makers' weights among this layer's.
    @tf.__internal__.tracking.no_automatic_dependency_tracking
    def follow(self, *makers: QuantizableLayer) -> None:
        """Tells whose outputs are this layer's inputs, since their quantization enters."""
        self._sources = tuple(maker.output_quantizations for maker in makers)

    def source(self, index: int = 0) -> Quantization:
        """Returns the quantization of one input."""
        return self.source_parts(index)[0]

    def source_parts(self, index: int = 0) -> list[Quantization]:
        """Returns the quantization of each column group of one input.

        Raises:
            ConfigError: If it is not known.
        """
        if index >= len(self._sources):
            raise _follows_nobody(self)
        return self._sources[index]()

    @property
    def output_names(self) -> list[str]:
        """Names of the output's quantizers: one a column group."""
        return ["output"]

    @property
    def output_bits(self) -> int:
        """Width of its output's integers, 8 or 16."""
        return int(self.quantizer(self.output_names[0]).num_bits)

    def input_bits(self, index: int) -> tuple[int, ...]:
        """Returns the widths that one input's integers may have."""
        del index
        return (8,)

    def copy_weights(self, source: QuantizableLayer) -> None:
        """Takes the weights of a layer of the same kind, quantized or not."""
        # Not the source's list: a layer that is frozen has no trainable weights.
        for variable in self.trainable_weights:
            name = variable.name.split("/")[-1].removesuffix(":0")
            variable.assign(getattr(source, name))

    def output_quantizations(self) -> list[Quantization]:
        """Returns the quantization of the output, or of each column group of it."""
        return [self.tensor_quantization(name) for name in self.output_names]

    def tensor_quantization(self, name: str) -> Quantization:
        """Returns what TensorFlow's fake quantization applies to one tensor, as it is now.

        Ranges contain zero; the zero point is nudged to an integer as in
        ``tf.quantization.fake_quant_with_min_max_vars``.
        """
        ranges, quantizer = self._ranges[name], self._quantizers[name]
        low, high, num_bits = ranges["min_var"], ranges["max_var"], quantizer.num_bits
        scale, zero_point = _nudged(low, high, num_bits, quantizer.narrow_range)
        return Quantization(scale, zero_point, num_bits=num_bits)

    @property
    def kernel_names(self) -> list[str]:
        """Names of the quantized weights that have a scale a unit, in the order of their use."""
        return [
            name
            for name, quantizer in self._quantizers.items()
            if isinstance(quantizer, tfmot_quantizers.LastValueQuantizer) and quantizer.per_axis
        ]

    def integer_kernel(self, name: str = "kernel") -> tuple[tf.Tensor, tf.Tensor]:
        """Returns a kernel's integers, float64 of its shape, and their scales, float64[units].

        They lie within [-127, 127], or [-7, 7] for 4 bits.
        """
        num_bits = self._quantizers[name].num_bits
        return _integer_kernel(getattr(self, name), self._ranges[name]["max_var"], num_bits)

    def add_quantizer(self, name: str, quantizer: Any, *, shape: Any = None) -> None:
        """Registers a quantizer under the name of its tensor; does nothing in a float layer."""
        if self.quantized:
            if self._following is None:
                self._following = self.add_weight(
                    "following", [], initializer="ones", trainable=False
                )
            self._quantizers[name] = quantizer
            ranges = quantizer.build(shape, name, self)
            self._ranges[name] = {**(ranges or {}), "following": self._following}

    def fake_quantize(self, name: str, tensor: tf.Tensor, training: bool | None) -> tf.Tensor:
        """Passes a tensor through the quantizer of that name; unchanged in a float layer."""
        if not self.quantized:
            return tensor
        return self._quantizers[name](tensor, bool(training), self._ranges[name])

    def start_calibration(self, percentile: float = 100.0) -> dict[str, Calibration]:
        """Lets tensors pass and watches them; returns by name what sees them from now on."""
        self._calibrating = True
        found = {}
        for name, quantizer in self._quantizers.items():
            if isinstance(quantizer, CalibratedQuantizer):
                quantizer.calibration = Calibration(percentile, self.unclipped_range(name))
                found[name] = quantizer.calibration
        return found

    def finish_calibration(self, set_ranges: bool = True) -> None:
        """Quantizes again, with ranges set by what was seen unless they shall stay."""
        self._calibrating = False
        for name, quantizer in self._quantizers.items():
            if isinstance(quantizer, CalibratedQuantizer):
                quantizer.finish_calibration(self._ranges[name] if set_ranges else None)

    def freeze_ranges(self) -> None:
        """Keeps the ranges of activations as they are, whatever is trained on."""
        if self._following is not None:
            self._following.assign(0.0)

    def update_weight_ranges(self) -> None:
        """Takes the ranges of the weights from the weights as they are now."""
        for name, quantizer in self._quantizers.items():
            if isinstance(quantizer, tfmot_quantizers.LastValueQuantizer):
                self.fake_quantize(name, getattr(self, name), training=True)

    def quantizer(self, name: str) -> Any:
        """Returns the TF-MOT quantizer of one tensor."""
        return self._quantizers[name]

    def quantization_range(self, name: str) -> tuple[float, float]:
        """Returns the learned (min, max) of one tensor, in real units."""
        ranges = self._ranges[name]
        return float(ranges["min_var"]), float(ranges["max_var"])

    def integer_range(self, name: str) -> tuple[float, float]:
        """Returns the least and the greatest real value that a tensor's integers stand for.

        The learned range, its zero point moved to an integer.
        """
        found = self.tensor_quantization(name)
        greatest = 2 ** (found.num_bits - 1) - 1
        least = -greatest if self.quantizer(name).narrow_range else -greatest - 1
        scale, zero_point = float(found.scale), int(found.zero_point)
        return scale * (least - zero_point), scale * (greatest - zero_point)

    def unclipped_range(self, name: str) -> tuple[float, float]:
        """Returns between what values saturation adds nothing to the error of rounding."""
        low, high = self.integer_range(name)
        half = float(self.tensor_quantization(name).scale) / 2
        return low - half, high + half

    def get_config(self) -> dict[str, Any]:
        """Returns Keras' configuration of the layer."""
        fields = dataclasses.asdict(self.quantization) if self.quantization else None
        return {**super().get_config(), "quantization": fields}

    def channel_ranges(self, name: str) -> tuple[Any, Any]:
        """Returns the (min, max) of one weight tensor: float[channels] each, in real units."""
        ranges = self._ranges[name]
        return ranges["min_var"].numpy(), ranges["max_var"].numpy()


class PassingLayer(QuantizableLayer):
    """A layer whose output is quantized as its input is: it owns no quantizer of its own."""

    @tf.__internal__.tracking.no_automatic_dependency_tracking
    def follow(self, *makers: QuantizableLayer) -> None:
        """Tells whose output is this layer's input, whose quantization is its own."""
        super().follow(*makers)
        self._maker = makers[0]

    @property
    def maker(self) -> QuantizableLayer:
        """The layer before it.

        Raises:
            ConfigError: If it is not known.
        """
        maker: QuantizableLayer | None = getattr(self, "_maker", None)
        if maker is None:
            raise _follows_nobody(self)
        return maker

    @property
    def output_names(self) -> list[str]:
        """Names of the input's quantizers."""
        return self.maker.output_names

    def input_bits(self, index: int) -> tuple[int, ...]:
        """Returns the widths that its input may have: any."""
        del index
        return (8, 16)

    def tensor_quantization(self, name: str) -> Quantization:
        """Returns what is applied to the input, as it is now."""
        return self.maker.tensor_quantization(name)

    def quantizer(self, name: str) -> Any:
        """Returns the quantizer of the input."""
        return self.maker.quantizer(name)


def _follows_nobody(layer: QuantizableLayer) -> ConfigError:
    return ConfigError(
        f"{layer.name} does not know how its input is quantized; build it in a functional model "
        "of quantized layers, or call follow(...) with the layer before it."
    )


@constant_function
def _nudged(
    low: tf.Tensor, high: tf.Tensor, num_bits: int, narrow: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    low, high = tf.cast(low, tf.float64), tf.cast(high, tf.float64)
    greatest = 2 ** (num_bits - 1) - 1
    if narrow:
        high = tf.where(high > 0, high, tf.ones_like(high))
        return high / greatest, tf.constant(0, tf.int64)
    least = -greatest - 1
    scale = (high - low) / (greatest - least)
    zero_point = tf.clip_by_value(tf.floor(least - low / scale + 0.5), least, greatest)
    return scale, tf.cast(zero_point, tf.int64)


@constant_function
def _integer_kernel(
    kernel: tf.Tensor, high: tf.Tensor, num_bits: int
) -> tuple[tf.Tensor, tf.Tensor]:
    limit = 2 ** (num_bits - 1) - 1
    high = tf.cast(high, tf.float64)
    scales = tf.where(high > 0, high, tf.ones_like(high)) / limit
    weights = tf.round(tf.cast(kernel, tf.float64) / scales)
    return tf.clip_by_value(weights, -limit, limit), scales


def _outline(dtype: str, shape: Shape) -> Callable[..., tf.Tensor]:
    @tf.autograph.experimental.do_not_convert
    def call(*_: Any, **__: Any) -> tf.Tensor:
        return tf.compat.v1.placeholder(dtype, shape)

    return call
