"""The road of docs/pretrained.md: a file of DeiT-Ti's shape, read, converted, counted on an M7."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from safetensors.numpy import save_file

from mcuformer_tflm import data as datasets
from mcuformer_tflm.bench.firmware import Case, measure
from mcuformer_tflm.bench.models import deit_tiny_architecture, enlarge, random_vit
from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.convert.converter import convert
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.layers.gelu import Gelu
from mcuformer_tflm.keras_models.pretrained.vit import load_vit
from mcuformer_tflm.keras_models.subnet import Subnet
from mcuformer_tflm.search.cost.activation_memory import Image, arena_bytes
from mcuformer_tflm.search.cost.memory import flash_bytes, num_macs, num_parameters
from mcuformer_tflm.search.progress import Report

_SUITE = "pretrained"
_IMAGES: tuple[Image, ...] = ("whole", "strips")
_RANDOM = "random weights, which keep the variance of what they multiply"


def run(progress: Report) -> list[Row]:
    """Reads, quantizes, converts, builds and counts; takes some minutes."""
    rows = [row for case, network in networks().items() for row in size_rows(case, network)]
    progress("read and convert", 0, 2)
    architecture = deit_tiny_architecture()
    images = datasets.fashion_mnist().train_images[:8]
    subnet = read_random(architecture)
    pixels = datasets.normalise(enlarge(images, architecture))
    rows += gelu_rows("deit_tiny", subnet, pixels)
    labels = [f"class {number}" for number in range(architecture.num_classes)]
    model = convert(subnet.quantized_copy([pixels]), labels)
    progress("count instructions", 1, 2)
    case = Case("deit_tiny", model, ("stm32f746-discovery",), _RANDOM)
    measured = measure(case, case.boards[0], images)
    progress("pretrained", 2, 2)
    return [*rows, *(dataclasses.replace(row, suite=_SUITE) for row in measured)]


def networks() -> dict[str, Architecture]:
    """Returns DeiT-Ti, and what factorise makes of it."""
    whole = deit_tiny_architecture()
    return {
        "deit_tiny": whole,
        "deit_tiny/factored": dataclasses.replace(whole, rank_ratio=0.5),
        "deit_tiny/factored_attention": dataclasses.replace(
            whole, rank_ratio=0.5, low_rank_attention=True
        ),
    }


def read_random(architecture: Architecture) -> Subnet:
    """Returns what is read of a file of random weights in the shape of a network."""
    arch = architecture
    tensors = random_vit(
        width=arch.embed_dim, depth=arch.depth, hidden=arch.hidden_dim(0), side=arch.grid_height,
        patch=arch.patch_size, channels=arch.channels, classes=arch.num_classes,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        save_file(tensors, Path(folder) / "vit.safetensors")
        return load_vit(Path(folder) / "vit.safetensors", num_heads=arch.num_heads[0])


def size_rows(case: str, architecture: Architecture) -> Iterator[Row]:
    """Yields what a network takes, as predicted before it exists."""
    yield Row(_SUITE, case, "parameters", num_parameters(architecture), "parameters")
    yield Row(_SUITE, case, "macs", num_macs(architecture), "multiply-accumulates")
    yield Row(_SUITE, case, "flash_bytes", flash_bytes(architecture), "bytes",
              note="the .tflite, predicted")  # fmt: skip
    for mode in _IMAGES:
        yield Row(_SUITE, case, f"arena_bytes_{mode}", arena_bytes(architecture, mode), "bytes",
                  note="in TFLM, Cortex-M, predicted")  # fmt: skip


def gelu_rows(case: str, subnet: Subnet, pixels: np.ndarray) -> Iterator[Row]:
    """Yields how far the sigmoid form of GELU leads away from the exact one.

    Args:
        case: Name of the rows.
        subnet: In floating point; it computes with the exact form afterwards.
        pixels: float32[n, height, width, channels] in [-1, 1).
    """
    x = tf.constant(np.linspace(-8, 8, 160_001))
    distance = Gelu(dtype="float64")(x) - tf.nn.gelu(x, approximate=False)
    yield Row(_SUITE, "gelu", "largest_difference", float(tf.reduce_max(abs(distance))), "real",
              note="of x * sigmoid(1.702 x) and the exact form, anywhere")  # fmt: skip
    ours = subnet(pixels).numpy()
    for layer in subnet.operators():
        if isinstance(layer, Gelu):
            layer.call = _exact  # type: ignore[method-assign]
    exact = subnet(pixels).numpy()
    apart = np.linalg.norm(ours - exact) / np.linalg.norm(exact)
    yield Row(_SUITE, case, "logits_from_exact_gelu", float(apart), "share",
              note=f"norm of the difference to that of the logits; {_RANDOM}")  # fmt: skip


def _exact(inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
    return tf.nn.gelu(inputs, approximate=False)
