import math

import numpy as np
import pytest

from mcuformer_tflm import QuantizationConfig, normalise, quantization_report
from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError
from mcuformer_tflm.keras_models.training.trainers import predict


@pytest.fixture(scope="module")
def images(fashion_mnist):
    return fashion_mnist.train_images[:96]


@pytest.fixture(scope="module")
def report(quantized, images):
    return quantization_report(quantized, images)


def _by_name(report):
    return {row.layer: row for row in report.layers}


def test_every_layer_is_told_the_worst_first(report, quantized):
    assert {row.layer for row in report.layers} == {layer.name for layer in quantized.operators()}
    ratios = [row.sqnr for row in report.layers]
    assert ratios == sorted(ratios)
    assert all(10 < ratio < 80 for ratio in ratios), "8 bits give some 20 to 50 dB"
    assert report.images == 96


def test_network_ratio_of_the_head_is_that_of_the_logits(report, quantized, subnet, images):
    wanted, found = (predict(net, normalise(images)).astype(float) for net in (subnet, quantized))
    ratio = 10 * math.log10(np.sum(wanted**2) / np.sum((wanted - found) ** 2))
    assert _by_name(report)["head"].network_sqnr == pytest.approx(ratio, abs=0.1)


def test_options_help_or_hurt_where_they_apply(report, subnet, images):
    config = QuantizationConfig(weight_bits=4, residual_bits=16)
    narrow = _by_name(quantization_report(
        subnet.quantized_copy([normalise(images)], config), images
    ))  # fmt: skip
    wide = _by_name(report)
    for name, row in narrow.items():
        block = name.startswith("block_")
        if row.weight_sqnr is not None:
            # A bit is 6 dB.
            gain = wide[name].weight_sqnr - row.weight_sqnr
            assert (20 < gain < 30) if block else gain == 0, name
        assert row.num_bits == (
            16 if name == "patch_embed" or name.endswith(("projection", "fc2_v")) else 8
        )
    assert narrow["patch_embed"].sqnr > wide["patch_embed"].sqnr


def test_a_broken_layer_is_first_and_its_clipping_is_counted(subnet, images):
    broken = subnet.quantized_copy([normalise(images)])
    layer = broken.get_layer("block_1_norm_2")
    variables = layer._ranges["output"]
    for variable in variables["min_var"], variables["max_var"]:
        variable.assign(variable / 8)
    worst, *others = quantization_report(broken, images).layers
    assert worst.layer == "block_1_norm_2"
    assert worst.clipped > 0.3
    assert all(row.clipped < 0.05 for row in others)


def test_table_and_picture_hold_every_layer(report, tmp_path):
    assert report.table().row_count == len(report.layers)
    for name in ("sqnr.png", "sqnr.svg"):
        report.draw(tmp_path / name)
    drawn = (tmp_path / "sqnr.svg").read_text()
    assert all(row.layer in drawn for row in report.layers)


def test_float_network_and_other_images_are_refused(subnet, quantized, images):
    with pytest.raises(ConfigError, match="not quantized"):
        quantization_report(subnet, images)
    with pytest.raises(DataError, match="no images"):
        quantization_report(quantized, images[:0])
    with pytest.raises(DataError, match="the network takes"):
        quantization_report(quantized, images[:, 1:])
