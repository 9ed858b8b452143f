import numpy as np
import pytest

from mcuformer_tflm import convert, quantize
from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError
from mcuformer_tflm.keras_models.quantizers import FixedRangeQuantizer
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
