import numpy as np
import pytest
import tf_keras

from mcuformer_tflm.data.image_data import normalise
from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError, ModelError
from mcuformer_tflm.keras_models.training.batches import batches
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.training.trainers import train_subnet
from mcuformer_tflm.plan.cortex_m import builtin_arena_content
from mcuformer_tflm.runtime.accuracy import accuracies
from mcuformer_tflm.runtime.builtin_interpreter import BuiltinInterpreter
from mcuformer_tflm.search.cost.tflm_arena import tflm_arena
from mcuformer_tflm.zoo.depthwise_cnn import DepthwiseCnn
from mcuformer_tflm.zoo.fixed_vit import fixed_vit
from mcuformer_tflm.zoo.measurement import host_arena_bytes, open_model, sizes

CNN = DepthwiseCnn(28, 1, 10, width=12, blocks=(1, 2), stem_stride=2)


@pytest.fixture(scope="module")
def trained(fashion_mnist):
    tf_keras.utils.set_random_seed(0)
    network = CNN.build()
    images, classes = fashion_mnist.train_images[:4000], fashion_mnist.train_classes[:4000]
    train_subnet(
        network,
        batches(images, classes, 32, num_classes=10),
        2,
        recipe=TrainingRecipe(learning_rate=1e-2),
    )
    return network


@pytest.fixture(scope="module")
def content(trained, fashion_mnist):
    return CNN.convert(trained, normalise(fashion_mnist.train_images[:128]))


@pytest.fixture(scope="module")
def interpreter(content):
    return BuiltinInterpreter(content)


def test_int8_in_tflm_is_close_to_float(trained, content, interpreter, fashion_mnist):
    images, classes = fashion_mnist.test_images[:1000], fashion_mnist.test_classes[:1000]
    shown = []
    figures = accuracies(
        trained, open_model(CNN, content), images, classes,
        lambda label, done, total: shown.append(done),
    )  # fmt: skip
    assert figures["float_top1"] > 0.7
    assert figures["agreement"] > 0.95
    assert shown[-1] == figures["test_images"] == 1000
    assert host_arena_bytes(CNN, content) == interpreter.arena_bytes_host
    assert sizes(CNN, content) == {
        "macs": CNN.num_macs,
        "arena_bytes": interpreter.arena_bytes,
        "flash_bytes": len(content),
    }


@pytest.mark.parametrize("changed", [{}, {"width": 5, "blocks": (1,), "stem_stride": 1}])
def test_arena_is_what_tflm_takes_on_this_machine(interpreter, fashion_mnist, changed):
    if changed:
        other = DepthwiseCnn(**{**vars(CNN), **changed})
        content = other.convert(other.build(), normalise(fashion_mnist.train_images[:32]))
        interpreter = BuiltinInterpreter(content)
    content = builtin_arena_content(interpreter.graph, interpreter.head_bytes)
    computed = tflm_arena(content, pointer_bytes=8, planner="tflm", wheel=True)
    assert computed.head + computed.tail == interpreter.arena_bytes_host
    assert interpreter.head_bytes < interpreter.arena_bytes < interpreter.arena_bytes_host


def test_multiply_accumulates_are_those_of_the_layers():
    total = 0
    for layer in CNN.build().layers:
        if isinstance(layer, tf_keras.layers.DepthwiseConv2D):
            total += np.prod(layer.output_shape[1:]) * np.prod(layer.kernel_size)
        elif isinstance(layer, tf_keras.layers.Conv2D | tf_keras.layers.Dense):
            kernel = layer.weights[0].shape
            total += np.prod(layer.output_shape[1:]) * np.prod(kernel[:-1])
    assert CNN.num_macs == total


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width", 0),
        ("width", 1.5),
        ("blocks", ()),
        ("blocks", 3),
        ("blocks", (1, 0)),
        ("blocks", (1, 10**9)),
        ("stem_stride", 3),
        ("image_size", 2),
    ],
)
def test_impossible_network_is_refused_by_its_field(field, value):
    with pytest.raises(ConfigError, match=field):
        DepthwiseCnn(**{**vars(CNN), field: value})


def test_wrong_images_and_models_are_told(interpreter):
    with pytest.raises(DataError, match="are uint8; the model takes int8"):
        interpreter.run(np.zeros((1, 28, 28, 1), np.uint8))
    with pytest.raises(ModelError, match="TFL3"):
        BuiltinInterpreter(b"no model at all")


def test_heads_that_do_not_divide_the_width_are_refused(architecture):
    with pytest.raises(ConfigError, match="num_heads is 5; it must divide embed_dim, 32"):
        fixed_vit(architecture, patch_size=7, embed_dim=32, depth=1, num_heads=5)
