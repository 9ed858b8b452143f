import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from mcuformer_tflm import convert, quantize
from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError
from mcuformer_tflm.keras_models.layers.attention import Attention
from mcuformer_tflm.keras_models.layers.fully_connected import FullyConnected
from mcuformer_tflm.keras_models.layers.gelu import Gelu
from mcuformer_tflm.keras_models.layers.layer_norm import LayerNorm
from mcuformer_tflm.keras_models.layers.mean_pool import MeanPool
from mcuformer_tflm.keras_models.layers.patch_embed import PatchEmbed
from mcuformer_tflm.keras_models.quantization.calibration import clipped_shares
from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
from mcuformer_tflm.keras_models.quantization.quantizers import FixedRangeQuantizer
from mcuformer_tflm.keras_models.subnet import build_subnet


def test_fixed_range_honours_its_number_of_bits():
    # TF-MOT's own FixedQuantizer rounds to 8 bits whatever it is told.
    limit = 0.05 * (2**15 - 1)
    rounded = FixedRangeQuantizer(16, -limit, limit, True)(np.float32([0.07, 1.0]), True, {})
    np.testing.assert_allclose(rounded, [0.05, 1.0], atol=1e-4)


def test_calibrated_ranges_cover_what_was_seen(quantized):
    for layer in quantized.operators():
        names = getattr(layer, "output_names", ["output"])
        for name in names:
            low, high = layer.quantization_range(name)
            assert low <= 0 < high
            assert (low, high) != (-6.0, 6.0), "TF-MOT's starting range"


def test_calibration_without_images_is_refused(architecture):
    with pytest.raises(DataError, match="no images"):
        build_subnet(architecture).quantized_copy([])


def test_fewer_images_than_a_batch_are_refused(architecture):
    images = np.zeros((3, 28, 28, 1), np.float32)
    with pytest.raises(DataError, match="batch of 128"):
        quantize(build_subnet(architecture), images, np.zeros(3, np.int32))


def test_float_network_and_wrong_labels_are_refused(architecture, quantized):
    with pytest.raises(ConfigError, match="quantize"):
        convert(build_subnet(architecture), ["a"] * 10)
    with pytest.raises(ConfigError, match="labels has 3 entries"):
        convert(quantized, ["a", "b", "c"])


CONFIG, WIDE = QuantizationConfig(), QuantizationConfig(residual_bits=16)
TOKENS = tf.TensorShape([1, 5, 12])
# Each tensor that has a range of its own: how its layer is made, on what, and its name.
TENSORS = {
    "fully connected": (lambda: FullyConnected(4, quantization=CONFIG), TOKENS, "output"),
    "queries": (lambda: FullyConnected(12, 3, quantization=CONFIG), TOKENS, "output_0"),
    "values": (lambda: FullyConnected(12, 3, quantization=CONFIG), TOKENS, "output_2"),
    "residual": (lambda: FullyConnected(12, quantization=CONFIG), [TOKENS, TOKENS], "output"),
    "residual of 16 bits": (
        lambda: FullyConnected(12, quantization=WIDE), [TOKENS, TOKENS], "output",
    ),
    "patches": (
        lambda: PatchEmbed(12, 2, quantization=CONFIG), tf.TensorShape([1, 4, 4, 1]), "output",
    ),
    "patches of 16 bits": (
        lambda: PatchEmbed(12, 2, quantization=WIDE), tf.TensorShape([1, 4, 4, 1]), "output",
    ),
    "attention": (lambda: Attention(4, quantization=CONFIG), TOKENS, "output"),
    "norm": (lambda: LayerNorm(quantization=CONFIG), TOKENS, "output"),
    "gelu": (lambda: Gelu(quantization=CONFIG), TOKENS, "output"),
    "mean": (lambda: MeanPool(quantization=CONFIG), TOKENS, "output"),
}  # fmt: skip
WEIGHTS = {
    "kernel": (lambda: FullyConnected(4, quantization=CONFIG), TOKENS, "kernel"),
    "kernel of 4 bits": (
        lambda: FullyConnected(4, quantization=QuantizationConfig(weight_bits=4)), TOKENS, "kernel",
    ),
    "kernel of patches": (TENSORS["patches"][0], TENSORS["patches"][1], "kernel"),
    "positions": (TENSORS["patches"][0], TENSORS["patches"][1], "position"),
}  # fmt: skip
# Of numbers in [0, 1), some of them 0 and 1.
SHAPES = {
    "both signs": lambda x: x - 0.4,
    "all positive": lambda x: x + 0.5,
    "all negative": lambda x: -x - 0.5,
    "far below zero": lambda x: x - 20,
    "far above zero": lambda x: x + 20,
    "tiny": lambda x: 1e-5 * (x - 0.5),
    "tiny and negative": lambda x: -1e-5 * (x + 0.1),
    "constant and positive": lambda x: 0 * x + 3,
    "constant and negative": lambda x: 0 * x - 3,
    "zero": lambda x: 0 * x,
}
drawn_values = st.builds(
    lambda seed, size: np.random.default_rng(seed).uniform(size=size),
    st.integers(0, 2**32 - 1), st.integers(1, 60),
)  # fmt: skip


def made(tensor):
    make, shape, name = tensor
    layer = make()
    layer.build(shape)
    return layer, name


def check_holds(layer, name, values):
    """No value is off by more than half a step, and zero is one of the integers."""
    scale = float(layer.tensor_quantization(name).scale)
    rounded = layer.fake_quantize(name, tf.constant(values), False)
    allowed = 0.501 * scale + 1e-6 * np.abs(values)
    assert (np.abs(rounded - values) <= allowed).all()
    assert layer.fake_quantize(name, tf.zeros([1, 1]), False) == 0
    low, high = layer.integer_range(name)
    assert low <= 0 <= high
    # Nor is the range wider than it has to be.
    span = max(values.max(), 0) - min(values.min(), 0)
    assert high - low <= 2.02 * max(span, 1.01e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tensor", TENSORS)
def test_a_calibrated_range_holds_all_values_and_zero(tensor, shape):
    layer, name = made(TENSORS[tensor])

    @given(drawn_values)
    def holds(drawn):
        values = np.float32(SHAPES[shape](drawn))[:, None]
        seen = layer.start_calibration()
        layer.fake_quantize(name, tf.constant(values), True)
        for other in seen.keys() - {name}:
            seen[other].see(np.float32([[0, 1]]))
        layer.finish_calibration()
        check_holds(layer, name, values)

    holds()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_range_that_follows_training_holds_zero(shape):
    layer, name = made(TENSORS["fully connected"])
    values = np.float32(SHAPES[shape](np.linspace(0, 1, 20)))[:, None]
    layer._following.assign(100)  # at once to where 0.99 goes in the end
    for _ in range(3):
        layer.fake_quantize(name, tf.constant(values), True)
    check_holds(layer, name, values)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tensor", WEIGHTS)
def test_a_range_of_weights_holds_them_and_zero(tensor, shape):
    layer, name = made(WEIGHTS[tensor])
    rng = np.random.default_rng(0)
    getattr(layer, name).assign(SHAPES[shape](rng.uniform(size=getattr(layer, name).shape)))
    weight = getattr(layer, name).numpy()
    layer.update_weight_ranges()
    if name == "kernel":
        integers, scales = (part.numpy() for part in layer.integer_kernel())
    else:
        scales = float(layer.tensor_quantization(name).scale)
        integers = layer.integer_position().numpy()
    assert (np.abs(integers * scales - weight) <= 0.501 * scales + 1e-6 * np.abs(weight)).all()


def test_values_count_as_clipped_by_the_range_that_the_integers_have(subnet, fashion_mnist):
    images = np.float32(fashion_mnist.train_images[:32]) / 128 - 1
    network = subnet.quantized_copy([images])
    assert max(clipped_shares(network, [images]).values()) == 0
    # All logits lie within what was learned, which has no integer for zero: moved, it has none
    # for them.
    head = network.get_layer("head")
    head.bias.assign([-100] * 10)
    head._ranges["output"]["min_var"].assign(-110.0)
    head._ranges["output"]["max_var"].assign(-90.0)
    shares = clipped_shares(network, [images])
    assert shares.pop(("head", "output")) == 1
    assert max(shares.values()) == 0
