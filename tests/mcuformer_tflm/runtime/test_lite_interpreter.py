"""The names of tf.lite.Interpreter: a script that was written for it runs on ours."""

import numpy as np
import pytest
import tensorflow as tf

from mcuformer_tflm.data.image_data import quantize_images
from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError
from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
from mcuformer_tflm.zoo import model_path


@pytest.fixture
def interpreter():
    return MicroInterpreter(model_path("fashion_mnist_conv_64k"))


@pytest.fixture(scope="module")
def images(fashion_mnist):
    return quantize_images(fashion_mnist.test_images[:3])


def test_details_are_those_that_tflite_tells_of_the_same_file(interpreter):
    theirs = tf.lite.Interpreter(str(model_path("fashion_mnist_conv_64k")))
    for method in ("get_input_details", "get_output_details"):
        (ours,), (wanted,) = getattr(interpreter, method)(), getattr(theirs, method)()
        assert ours.keys() == wanted.keys()
        for key, value in wanted.items():
            if key == "quantization_parameters":
                assert ours[key].keys() == value.keys()
                for part, numbers in value.items():
                    np.testing.assert_allclose(ours[key][part], numbers, rtol=1e-6)
            elif key == "quantization":
                np.testing.assert_allclose(ours[key], value, rtol=1e-6)
            else:
                assert np.all(ours[key] == value), key


def test_a_script_for_tflite_gets_the_logits_of_run(interpreter, images):
    interpreter.allocate_tensors()
    given, taken = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    found = []
    for image in images:
        interpreter.set_tensor(given["index"], image[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(taken["index"]))
        assert np.array_equal(interpreter.get_tensor(given["index"]), image[None])
    assert np.array_equal(np.concatenate(found), interpreter.run(images))


def test_an_image_is_taken_as_it_was_when_it_was_given(interpreter, images):
    given, taken = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    image = images[:1].copy()
    interpreter.set_tensor(given["index"], image)
    image[:] = 0
    interpreter.invoke()
    found = interpreter.get_tensor(taken["index"])
    kept = found.copy()
    found[:] = 0
    assert np.array_equal(interpreter.get_tensor(taken["index"]), kept)
    assert np.array_equal(kept, interpreter.run(images[:1]))


def test_what_tflite_would_do_otherwise_is_refused_with_what_to_do(interpreter, images):
    given, taken = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    with pytest.raises(ConfigError, match="call set_tensor before invoke"):
        interpreter.invoke()
    with pytest.raises(ConfigError, match="call invoke before get_tensor"):
        interpreter.get_tensor(taken["index"])
    with pytest.raises(DataError, match=r"value is uint8.*quantize_images makes"):
        interpreter.set_tensor(given["index"], images[:1].astype(np.uint8))
    with pytest.raises(DataError, match=r"\[2, 28, 28, 1\]; the input"):
        interpreter.set_tensor(given["index"], images[:2])
    with pytest.raises(ConfigError, match="the model's input is"):
        interpreter.set_tensor(taken["index"], images[:1])
    with pytest.raises(ConfigError, match="overwritten in the arena"):
        interpreter.get_tensor(max(taken["index"], given["index"]) + 1)
    with pytest.raises(ConfigError, match=r"planned for \[1, 28, 28, 1\]"):
        interpreter.resize_tensor_input(given["index"], [4, 28, 28, 1])
    interpreter.resize_tensor_input(given["index"], [1, 28, 28, 1])
