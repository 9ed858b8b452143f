"""Interpreters in several threads give what they give in one."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mcuformer_tflm import MicroInterpreter, convert, quantize_images
from mcuformer_tflm.plan.planner import read_plan
from mcuformer_tflm.runtime.arena_interpreter import ArenaInterpreter, allocate
from mcuformer_tflm.runtime.builtin_interpreter import BuiltinInterpreter
from mcuformer_tflm.tflite.model_graph import read_graph
from mcuformer_tflm.zoo.catalogue import BASELINES

_THREADS = 4
PLANNERS = pytest.mark.parametrize("planner", ["mcuformer", "tflm"])


@pytest.fixture(scope="module")
def images(fashion_mnist):
    return quantize_images(fashion_mnist.test_images[:100])


@pytest.fixture(scope="module", params=["whole", "strips"])
def content(request, quantized, fashion_mnist):
    return convert(quantized, fashion_mnist.labels, image=request.param)


@pytest.fixture(scope="module")
def cnn():
    return (BASELINES / "depthwise_cnn_16k" / "model.tflite").read_bytes()


def _in_threads(run, arguments):
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(run, arguments))


def _parts(images):
    # Each thread has images of its own, so that one thread's answer is wrong in another's place.
    return [np.roll(images, 25 * number, 0) for number in range(_THREADS)]


@PLANNERS
def test_threads_that_share_an_interpreter_get_the_logits_of_one_thread(content, planner, images):
    interpreter = MicroInterpreter(content, planner=planner)
    wanted = [interpreter.run(part) for part in _parts(images)]
    for _ in range(3):
        np.testing.assert_array_equal(_in_threads(interpreter.run, _parts(images)), wanted)


@PLANNERS
def test_interpreters_opened_and_run_in_a_thread_each_get_the_logits_of_one_thread(
    content, planner, images, interpreter
):
    def run(part):
        return MicroInterpreter(content, planner=planner).run(part)

    wanted = [interpreter.run(images)] * _THREADS
    np.testing.assert_array_equal(_in_threads(run, [images] * _THREADS), wanted)


def test_threads_that_call_an_arena_interpreter_never_meet_in_it(model, images):
    interpreter = ArenaInterpreter(model, *allocate(1 << 20))
    interpreter.set_input(images[:1], 0)
    interpreter.invoke()
    wanted = interpreter.get_output(0)

    def call(_):
        for _ in range(50):
            interpreter.set_input(images[:1], 0)
            interpreter.invoke()
            assert interpreter.head == read_plan(read_graph(model)).head_bytes
        return True

    assert all(_in_threads(call, range(_THREADS)))
    interpreter.set_input(images[:1], 0)
    interpreter.invoke()
    np.testing.assert_array_equal(interpreter.get_output(0), wanted)


def test_builtin_operators_in_threads_give_the_logits_of_one_thread(cnn, images):
    interpreter = BuiltinInterpreter(cnn)
    few = images[:8]
    wanted = [interpreter.run(part) for part in _parts(few)]
    np.testing.assert_array_equal(_in_threads(interpreter.run, _parts(few)), wanted)
    others = _in_threads(BuiltinInterpreter, [cnn] * _THREADS)
    assert {other.arena_bytes_host for other in others} == {interpreter.arena_bytes_host}
    found = _in_threads(lambda other: other.run(few), others)
    np.testing.assert_array_equal(found, [interpreter.run(few)] * _THREADS)


def test_interpreter_may_be_asked_again_while_it_tells_its_progress(interpreter, images):
    inner = []
    found = interpreter.run(images[:4], lambda *_: inner.append(interpreter.run(images[4:5])))
    np.testing.assert_array_equal(found, interpreter.run(images[:4]))
    np.testing.assert_array_equal(inner, [interpreter.run(images[4:5])] * 4)
