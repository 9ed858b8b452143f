"""What the options of quantization cost and give, on a small network of Fashion-MNIST."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import tf_keras

from mcuformer_tflm.bench.quantized_step import quantized_step_rows
from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.convert.converter import convert
from mcuformer_tflm.data.fashion_mnist import fashion_mnist
from mcuformer_tflm.data.image_data import normalise, quantize_images
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
from mcuformer_tflm.keras_models.subnet import Subnet, build_subnet
from mcuformer_tflm.keras_models.training.trainers import batches, predict, train_subnet
from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
from mcuformer_tflm.quantize.quantize import quantize
from mcuformer_tflm.quantize.report import quantization_report
from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter

Progress = Callable[[str, int, int], None]

OPTIONS = {
    "int8": QuantizationConfig(),
    "residual_16": QuantizationConfig(residual_bits=16),
    "weight_4": QuantizationConfig(weight_bits=4),
    "weight_4_residual_16": QuantizationConfig(weight_bits=4, residual_bits=16),
}
NETWORK = Architecture(
    image_size=28, channels=1, num_classes=10, patch_size=4, rank_ratio=None, head_dim=16,
    embed_dim=32, num_heads=(2, 2), mlp_ratio=(2.0, 2.0),
)  # fmt: skip
_SUITE = "quantization"
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Work:
    """How much is done.

    Attributes:
        trained: Images of an epoch in float.
        epochs: Epochs in float.
        trained_quantized: Images of the one epoch with rounding in place.
        batch_size: Images a step.
        tested: Test images.
        measured: Images behind the signal to noise ratio.
    """

    trained: int = 12_000
    epochs: int = 3
    trained_quantized: int = 6_000
    batch_size: int = 64
    tested: int = 2_000
    measured: int = 256


def run(progress: Progress) -> list[Row]:
    """Trains one network, then quantizes it in each way: calibrated only, and trained on.

    Rows ``top1_float`` of the network; ``top1_calibrated``, ``top1_trained``, ``within_1_lsb``,
    ``arena_bytes``, ``flash_bytes`` and ``logits_sqnr`` of each option. Accuracies are those of
    TFLM. Before them ``seconds`` and ``ratio`` of a training step (``quantized_step``).

    Args:
        progress: Called with (what is being done, done, total).
    """
    return [*quantized_step_rows(progress), *compare(OPTIONS, Work(), progress)]


def compare(
    options: Mapping[str, QuantizationConfig], work: Work, progress: Progress
) -> Iterator[Row]:
    """Yields the rows of some options.

    Args:
        options: By the name of their rows.
        work: How much is done.
        progress: As for ``run``.
    """
    data = fashion_mnist()
    images, classes = normalise(data.train_images[: work.trained]), data.train_classes
    tf_keras.utils.set_random_seed(_SEED)
    subnet = build_subnet(NETWORK)
    steps = batches(images, classes[: work.trained], work.batch_size, seed=_SEED)
    train_subnet(
        subnet, steps, work.epochs, recipe=None, progress=partial(progress, "train in float")
    )
    wanted = data.test_classes[: work.tested]
    tested = normalise(data.test_images[: work.tested])
    found = predict(subnet, tested).argmax(-1)
    note = f"{work.tested:,} test images; a small network, trained for {work.epochs} short epochs"
    yield Row(_SUITE, "float", "top1_float", float(np.mean(found == wanted)), "share", note=note)
    shown = images[: work.trained_quantized], classes[: work.trained_quantized]
    for name, config in options.items():
        for metric, epochs in (("top1_calibrated", 0), ("top1_trained", 1)):
            quantized = quantize(
                subnet, *shown, epochs=epochs, batch_size=work.batch_size, seed=_SEED,
                progress=partial(progress, f"train {name}"), config=config,
            )  # fmt: skip
            model = convert(quantized, data.labels)
            interpreter = MicroInterpreter(model)
            logits = interpreter.run(quantize_images(data.test_images[: work.tested]))
            yield Row(_SUITE, name, metric, float(np.mean(logits.argmax(-1) == wanted)), "share")
        share = _within_one_step(interpreter, logits, predict(quantized, tested))
        yield Row(_SUITE, name, "within_1_lsb", share, "share",
                  note="images whose logits are those of training's graph")  # fmt: skip
        arena = cortex_m_arena_bytes(interpreter.graph, interpreter.plan)
        yield Row(_SUITE, name, "arena_bytes", arena, "bytes")
        yield Row(_SUITE, name, "flash_bytes", len(model), "bytes")
        yield Row(_SUITE, name, "logits_sqnr", _logits_sqnr(quantized, images[: work.measured]),
                  "dB", note="of the trained one, against itself in floating point")  # fmt: skip


def _within_one_step(
    interpreter: MicroInterpreter, logits: np.ndarray, simulated: np.ndarray
) -> float:
    output = interpreter.graph.tensors[interpreter.graph.outputs[0]]
    steps = np.rint(simulated.astype(np.float64) / output.scale) + output.zero_point
    return float(np.mean(np.abs(steps - logits).max(-1) <= 1))


def _logits_sqnr(quantized: Subnet, images: np.ndarray) -> float:
    layers = quantization_report(quantized, images).layers
    return next(layer.network_sqnr for layer in layers if layer.layer == "head")
