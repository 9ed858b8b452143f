"""Error of the integer operators against float64, on activations of a trained network.

A small network is trained on Fashion-MNIST, float and then with TF-MOT's rounding, and
converted with every layer an operator of its own. The numpy twins run it on test images; each
operator's output is compared with float64 arithmetic on the same int8 input and the layer's real
weights, in units of the output's last bit (LSB). Rounding alone gives 0.25 on average and 0.5 at
most.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.convert.converter import convert
from mcuformer_tflm.convert.quantization import Quantization, activation_quantization
from mcuformer_tflm.data.fashion_mnist import fashion_mnist
from mcuformer_tflm.data.image_data import ImageData, normalise, quantize_images
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.layers.layer_norm import EPSILON
from mcuformer_tflm.keras_models.subnet import Subnet, build_subnet
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.training.trainers import batches, predict, train_subnet
from mcuformer_tflm.quantize.quantize import quantize
from mcuformer_tflm.runtime.model_twin import operator_inputs, run_operator, twin_values
from mcuformer_tflm.search.progress import Report
from mcuformer_tflm.tflite.model_graph import ModelGraph, Operator, read_graph

ARCHITECTURE = Architecture(
    image_size=28, channels=1, num_classes=10, patch_size=4, rank_ratio=0.8, head_dim=16,
    embed_dim=48, num_heads=(3, 3), mlp_ratio=(2.0, 2.0),
)  # fmt: skip
_CASES = {
    "McuformerLayerNorm": "layer_norm",
    "McuformerGelu": "gelu",
    "McuformerAttention": "attention",
    "McuformerMeanPool": "mean_pool",
}
# The integer square root's; 0 goes on until it is fixed.
_ITERATIONS = {"3_iterations": 3, "4_iterations": 4, "converged": 0}


@dataclasses.dataclass(frozen=True)
class Settings:
    """How much work the benchmark does.

    Attributes:
        train_images: Training images.
        epochs: Epochs in float.
        quantized_images: Training images with TF-MOT's rounding, one epoch.
        test_images: Images whose activations are compared.
        seed: Of all random choices.
    """

    train_images: int = 40_000
    epochs: int = 3
    quantized_images: int = 10_000
    test_images: int = 64
    seed: int = 0


def run(progress: Report, settings: Settings | None = None) -> list[Row]:
    """Returns the rows of the suite; under two minutes of processor time, training included."""
    settings = settings or Settings()
    data = fashion_mnist()
    subnet, top1 = _train(data, progress, settings)
    images = data.test_images[: settings.test_images]
    note = f"{len(images)} test images go through the twins"
    network = Row("operators", "network", "top1_float", 100 * top1, "%", note=note)
    return [network, *compare(subnet, images, data.labels, progress)]


def compare(
    subnet: Subnet, images: np.ndarray, labels: Sequence[str], progress: Report
) -> list[Row]:
    """Returns mean and greatest error of each operator, and how often rounding differs.

    Args:
        subnet: A quantized network.
        images: uint8[n, height, width, channels] that it classifies.
        labels: Class names.
        progress: Called with (what is being done, done, total).
    """
    graph = read_graph(convert(subnet, labels, schedule="paper"))
    found = defaultdict(list)
    for done, image in enumerate(quantize_images(images)):
        for case, error, differs in _errors(subnet, graph, image[None]):
            found[case].append((error, differs))
        progress("compare with float64", done + 1, len(images))
    rows = []
    for case, parts in found.items():
        error = np.concatenate([part.reshape(-1) for part, _ in parts])
        differs = np.concatenate([part.reshape(-1) for _, part in parts])
        for metric, value, unit in (
            ("error_mean", error.mean(), "LSB"),
            ("error_max", error.max(), "LSB"),
            ("differs_from_rounded_float64", 100 * differs.mean(), "% of values"),
        ):
            rows.append(Row("operators", case, metric, float(value), unit))
    return rows


def _train(data: ImageData, progress: Report, settings: Settings) -> tuple[Subnet, float]:
    import tf_keras

    tf_keras.utils.set_random_seed(settings.seed)
    subnet = build_subnet(ARCHITECTURE)
    images = normalise(data.train_images[: settings.train_images])
    classes = data.train_classes[: settings.train_images]
    train_subnet(
        subnet, batches(images, classes, 128, seed=settings.seed), settings.epochs,
        recipe=TrainingRecipe(learning_rate=2e-3),
        progress=lambda done, total: progress("train", done, total),
    )  # fmt: skip
    top1 = float(np.mean(predict(subnet, normalise(data.test_images)).argmax(-1)
                         == data.test_classes))  # fmt: skip
    quantized = quantize(
        subnet, images[: settings.quantized_images], classes[: settings.quantized_images],
        seed=settings.seed,
        progress=lambda done, total: progress("train it quantized", done, total),
    )  # fmt: skip
    return quantized, top1


def _errors(
    subnet: Subnet, graph: ModelGraph, image: np.ndarray
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    # Yields (case, error in LSB of every value, whether it differs from rounded float64).
    layers = {layer.name: layer for layer in subnet.operators()}
    values = twin_values(graph, image)
    for operator in graph.operators:
        output = graph.tensors[operator.outputs[0]]
        inputs = operator_inputs(graph, values, operator)
        source = graph.tensors[operator.inputs[0]]
        x = np.asarray(inputs[0], np.float64).reshape(-1, source.shape[-1])
        real = (x - source.zero_point) * source.scale
        layer = layers[output.name]
        match operator.code:
            case "McuformerLayerNorm":
                wanted = _layer_norm(real, layer.gamma.numpy(), layer.beta.numpy())
                wanted = wanted[: output.size // output.shape[-1]]  # a class token's alone
            case "McuformerGelu":
                wanted = real / (1 + np.exp(-1.702 * real))
            case "McuformerAttention":
                qkv = layers[source.name]
                parts = [activation_quantization(qkv, name) for name in qkv.output_names]
                wanted = _attention(x, parts, layer.head_dim)
            case "McuformerMeanPool":
                wanted = real.mean(0, keepdims=True)
            case _:
                continue
        in_lsb = np.clip(wanted / output.scale + output.zero_point, -128, 127)
        for case, variant in _variants(operator):
            found = run_operator(variant, inputs, output).reshape(in_lsb.shape)
            yield case, np.abs(found - in_lsb), found != np.rint(in_lsb)


def _variants(operator: Operator) -> Iterator[tuple[str, Operator]]:
    case = _CASES[operator.code]
    if operator.code != "McuformerLayerNorm":
        yield case, operator
        return
    for name, iterations in _ITERATIONS.items():
        options = {**operator.options, "iterations": iterations}
        yield f"{case}/{name}", dataclasses.replace(operator, options=options)


def _layer_norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
    return centred / deviation * gamma.astype(np.float64) + beta.astype(np.float64)


def _attention(qkv: np.ndarray, parts: list[Quantization], head_dim: int) -> np.ndarray:
    tokens = len(qkv)
    # Queries, keys and values side by side, each head by head; all symmetric.
    scales = np.array([part.scale for part in parts])
    query, key, value = (
        qkv.reshape(tokens, 3, -1, head_dim).transpose(1, 2, 0, 3) * scales[:, None, None, None]
    )
    scores = query @ key.transpose(0, 2, 1) / np.sqrt(head_dim)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    context = weights / weights.sum(-1, keepdims=True) @ value
    return context.transpose(1, 0, 2).reshape(tokens, -1)
