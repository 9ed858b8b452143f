"""Price of exact quantization-aware training: its step beside that of the network in float."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.keras_models.training.trainers import SubnetTrainer

Progress = Callable[[str, int, int], None]

_WAYS = {
    "exact": QuantizationConfig(),
    "fake_quantized": QuantizationConfig(integer_operators=False),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """What is timed.

    Attributes:
        depth: Blocks of embed_dim 96, on 49 tokens.
        batch_size: Images a step.
        repeats: Steps of each kind.
    """

    depth: int = 6
    batch_size: int = 128
    repeats: int = 15


def quantized_step_rows(progress: Progress, case: Case | None = None) -> Iterator[Row]:
    """Yields ``seconds`` of each step, and their ``ratio`` to the step in float.

    The steps alternate, so that a machine busy with other work slows all; each figure is a
    median.

    Args:
        progress: Called with (what is being done, done, total).
        case: What is timed.
    """
    case = case or Case()
    architecture = Architecture(
        image_size=28, channels=1, num_classes=10, patch_size=4, rank_ratio=0.8, head_dim=16,
        embed_dim=96, num_heads=(6,) * case.depth, mlp_ratio=(2.0,) * case.depth,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    shape = (case.batch_size, *architecture.image_shape)
    images = rng.uniform(-1, 1, shape).astype(np.float32)
    classes = rng.integers(0, 10, case.batch_size, dtype=np.int32)
    data = tf.data.Dataset.from_tensors((images, classes))  # an epoch of one step
    subnet = build_subnet(architecture)
    networks = {"float": subnet}
    networks |= {name: subnet.quantized_copy([images], way) for name, way in _WAYS.items()}
    trainers = {name: SubnetTrainer(network) for name, network in networks.items()}
    for trainer in trainers.values():  # the first step of each traces
        trainer.train(data)
    times: dict[str, list[float]] = {name: [] for name in trainers}
    for repeat in range(1, case.repeats + 1):
        for name, trainer in trainers.items():
            start = time.perf_counter()
            trainer.train(data)
            times[name].append(time.perf_counter() - start)
        progress("quantized step", repeat, case.repeats)
    note = (
        f"batch {case.batch_size}, embed_dim 96, depth {case.depth}, 49 tokens; median of "
        f"{case.repeats} alternating steps"
    )
    medians = {name: float(np.median(values)) for name, values in times.items()}
    for name, seconds in medians.items():
        yield Row("quantization", f"step/{name}", "seconds", seconds, "s", note=note)
        if name != "float":
            ratio = seconds / medians["float"]
            yield Row("quantization", f"step/{name}", "ratio", ratio, "", note=note)
