"""What users do with any Keras model they do with these: summary, fit, evaluate, export."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mcuformer_tflm import QuantizationConfig, build_subnet, quantize
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.network import as_network
from mcuformer_tflm.keras_models.supernet import Supernet

ARCHITECTURE = Architecture(
    image_size=8, channels=1, num_classes=3, patch_size=4, rank_ratio=None, head_dim=4, embed_dim=8,
    num_heads=(1,), mlp_ratio=(1.0,),
)  # fmt: skip
IMAGES = np.random.default_rng(1).uniform(-1, 1, (12, 8, 8, 1)).astype(np.float32)
CLASSES = np.arange(12) % 3
# Integer operators are not what is tested, and take a while to trace.
QUICK = QuantizationConfig(integer_operators=False)


def two_outputs():
    subnet = build_subnet(ARCHITECTURE)
    outputs = [subnet.output, subnet.get_layer("mean_pool").output]
    return as_network(tf_keras.Model(subnet.input, outputs))


NETWORKS = {
    "float": lambda: build_subnet(ARCHITECTURE),
    "quantized": lambda: quantize(build_subnet(ARCHITECTURE), IMAGES, epochs=0, config=QUICK),
    "supernet": lambda: Supernet(ARCHITECTURE),
    "own": two_outputs,
}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    return NETWORKS[request.param]()


def test_a_summary_has_every_layer_and_all_parameters(network):
    network(IMAGES)
    lines = []
    network.summary(print_fn=lines.append)
    text = "\n".join(lines)
    assert f"Total params: {network.count_params()} " in text
    for layer in network.layers:
        assert layer.name[:20] in text


@pytest.mark.parametrize("kind", ["quantized", "supernet"])
def test_an_exported_network_answers_alike_without_our_code(kind, tmp_path):
    network = NETWORKS[kind]()
    network(IMAGES)
    network.export(str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    served = loaded.serve(tf.constant(IMAGES))
    np.testing.assert_allclose(served, network(IMAGES), atol=1e-5)


@pytest.mark.parametrize("kind", ["quantized", "supernet"])
def test_fit_learns_and_evaluate_counts_what_predict_says(kind):
    tf_keras.utils.set_random_seed(0)
    network = NETWORKS[kind]()
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    rate = tf_keras.optimizers.Adam(0.01)
    network.compile(rate, loss, metrics=["accuracy"], run_eagerly=True)
    history = network.fit(IMAGES, CLASSES, epochs=4, batch_size=12, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    told = network.evaluate(IMAGES, CLASSES, verbose=0, return_dict=True)
    right = network.predict(IMAGES, verbose=0).argmax(-1) == CLASSES
    assert told["accuracy"] == pytest.approx(right.mean())
