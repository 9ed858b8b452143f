"""Price of dynamic slicing: a supernet's training step beside the same network built static."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.keras_models.training.trainers import OneNetwork, SubnetTrainer, SupernetTrainer
from mcuformer_tflm.search.build import build_supernet
from mcuformer_tflm.search.space import FASHION_MNIST_SPACE, SearchSpace

Report = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True)
class Case:
    """What is timed.

    Attributes:
        space: Its largest network, at the smallest patch and the highest rank, is trained.
        batch_size: Images a step.
        repeats: Steps of each kind.
    """

    space: SearchSpace
    batch_size: int
    repeats: int


CASES = {"paper": Case(SearchSpace(), 8, 9), "demo": Case(FASHION_MNIST_SPACE, 128, 25)}


def supernet_step_rows(progress: Report) -> Iterator[Row]:
    """Yields ``seconds``, ``seconds_static``, ``ratio`` and ``traces`` of the paper and the demo.

    Args:
        progress: Called with (what is being done, done, total).
    """
    for name, case in CASES.items():
        yield from measure(name, case, progress)


def measure(name: str, case: Case, progress: Report) -> Iterator[Row]:
    """Yields the rows of one case.

    Supernet and static network have the same sizes, batch and optimizer, and their steps
    alternate, so that a machine busy with other work slows both; each figure is a median. The
    supernet also trains its smallest subnet, and predicts with both, before its traces are
    counted.

    Args:
        name: What the rows call it.
        case: What is timed.
        progress: Called with (what is being done, done, total).
    """
    supernet = build_supernet(case.space)
    largest = supernet.largest
    smallest = case.space.at(min(case.space.patch_size), max(case.space.rank_ratio)).smallest()
    dynamic, static = SupernetTrainer(supernet), SubnetTrainer(build_subnet(largest))
    rng = np.random.default_rng(0)
    shape = (case.batch_size, *largest.image_shape)
    images = rng.uniform(-1, 1, shape).astype(np.float32)
    classes = rng.integers(0, largest.num_classes, case.batch_size, dtype=np.int32)
    data = tf.data.Dataset.from_tensors((images, classes))  # an epoch of one step
    steps: dict[str, Callable[[], float]] = {
        "seconds": lambda: dynamic.train(data, OneNetwork(largest)),
        "seconds_static": lambda: static.train(data),
    }
    # The first step of each traces.
    for step in steps.values():
        step()
    dynamic.train(data, OneNetwork(smallest))
    for architecture in (largest, smallest):
        dynamic.accuracy(architecture, images, classes)
    times: dict[str, list[float]] = {metric: [] for metric in steps}
    for repeat in range(1, case.repeats + 1):
        for metric, step in steps.items():
            start = time.perf_counter()
            step()
            times[metric].append(time.perf_counter() - start)
        progress(f"supernet step, {name}", repeat, case.repeats)
    note = (
        f"batch {case.batch_size}, embed_dim {largest.embed_dim}, depth {largest.depth}; median "
        f"of {case.repeats} alternating steps"
    )
    medians = {metric: float(np.median(values)) for metric, values in times.items()}
    title = f"supernet_step/{name}"
    for metric, seconds in medians.items():
        yield Row("search", title, metric, seconds, "s", note=note)
    ratio = medians["seconds"] / medians["seconds_static"]
    yield Row("search", title, "ratio", ratio, "", note=note)
    yield Row("search", title, "traces", dynamic.traces, "", note="training and prediction")
