import pytest
import tf_keras

from mcuformer_tflm import QuantizationConfig
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.layers.layer_norm import LayerNorm
from mcuformer_tflm.keras_models.subnet import build_subnet


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("weight_bits", 6, "4 and 8"),
        ("residual_bits", 32, "8 and 16"),
        ("layer_norm_iterations", -1, "0 to 16"),
        ("layer_norm_iterations", 2.5, "0 to 16"),
        ("integer_operators", 1, "False and True"),
    ],
)
def test_values_that_are_not_allowed_are_refused_by_name(field, value, allowed):
    with pytest.raises(ConfigError, match=f"{field} is .*{allowed}"):
        QuantizationConfig(**{field: value})


def test_layer_keeps_its_quantization_in_the_keras_configuration():
    config = QuantizationConfig(layer_norm_iterations=2)
    layer = LayerNorm(quantization=config)
    assert LayerNorm.from_config(layer.get_config()).quantization == config
    assert LayerNorm.from_config(LayerNorm().get_config()).quantization is None


def test_every_layer_of_a_network_has_its_quantization(architecture):
    config = QuantizationConfig(layer_norm_iterations=2)
    subnet = build_subnet(architecture, config)
    assert subnet.quantization == config
    assert subnet.quantized
    assert all(layer.quantization == config for layer in subnet.operators())
    assert not build_subnet(architecture).quantized
    assert isinstance(subnet, tf_keras.Model)


def test_options_reach_the_quantizers_of_stream_and_matrices(architecture):
    subnet = build_subnet(architecture, QuantizationConfig(weight_bits=4, residual_bits=16))
    for layer in subnet.operators():
        block, stream = (
            layer.name.startswith("block_"),
            layer.name.endswith(("patch_embed", "projection", "fc2_v")),
        )
        for name in layer.output_names:
            assert layer.quantizer(name).num_bits == (16 if stream else 8), layer.name
        if hasattr(layer, "kernel"):
            assert layer.quantizer("kernel").num_bits == (4 if block else 8), layer.name
