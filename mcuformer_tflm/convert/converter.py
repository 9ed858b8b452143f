"""From a quantized subnet to the bytes of a ``.tflite``."""

from __future__ import annotations

from collections.abc import Sequence

from mcuformer_tflm.convert.attention import export_attention
from mcuformer_tflm.convert.fully_connected import export_fully_connected
from mcuformer_tflm.convert.gelu import export_gelu
from mcuformer_tflm.convert.graph import Graph
from mcuformer_tflm.convert.layer_norm import export_layer_norm
from mcuformer_tflm.convert.mean_pool import export_mean_pool
from mcuformer_tflm.convert.metadata import write_metadata
from mcuformer_tflm.convert.patch_embed import export_patch_embed
from mcuformer_tflm.convert.quantization import Quantization
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.patch_embed import IMAGE_SCALE
from mcuformer_tflm.keras_models.subnet import Subnet
from mcuformer_tflm.plan import plan_memory, write_plan


def convert(subnet: Subnet, labels: Sequence[str]) -> bytes:
    """Converts a quantized network to an int8 ``.tflite``.

    The file is written straight from the layers and the ranges that their TF-MOT quantizers
    learned: custom operators with multipliers, shifts and tables as constants in flash, the
    memory plan as TFLM's ``OfflineMemoryAllocation``, labels and normalisation as
    tflite-support's metadata, and the architecture.

    Args:
        subnet: A network from ``quantize``.
        labels: Class names by index.

    Returns:
        Bytes of the model: int8[1, height, width, channels] (byte - 128) to
        int8[1, num_classes].

    Raises:
        ConfigError: If the network is not quantized, or the labels are not one a class.
    """
    if not subnet.quantized:
        raise ConfigError("This subnet is not quantized; pass it through quantize(...) first.")
    if len(labels) != subnet.architecture.num_classes:
        raise ConfigError(
            f"labels has {len(labels)} entries; the network has "
            f"{subnet.architecture.num_classes} classes."
        )
    content = _write_graph(subnet)
    content = write_plan(content, plan_memory(content))
    return write_metadata(content, labels, subnet.architecture)


def _write_graph(subnet: Subnet) -> bytes:
    arch = subnet.architecture
    layers = {layer.name: layer for layer in subnet.operators()}
    graph = Graph()
    image = graph.add_activation(
        "image", (1, arch.image_size, arch.image_size, arch.channels), Quantization(IMAGE_SCALE)
    )
    x = export_patch_embed(layers["patch_embed"], graph, image)
    for block in range(arch.depth):
        part = {
            name.removeprefix(f"block_{block}_"): layer
            for name, layer in layers.items()
            if name.startswith(f"block_{block}_")
        }
        y = export_layer_norm(part["norm_1"], graph, x)
        y = export_fully_connected(part["qkv"], graph, y)
        y = export_attention(part["attention"], graph, y)
        x = export_fully_connected(part["projection"], graph, y, residual=x)
        y = export_layer_norm(part["norm_2"], graph, x)
        y = export_fully_connected(part["fc1_u"], graph, y)
        y = export_fully_connected(part["fc1_v"], graph, y)
        y = export_gelu(part["gelu"], graph, y)
        y = export_fully_connected(part["fc2_u"], graph, y)
        x = export_fully_connected(part["fc2_v"], graph, y, residual=x)
    x = export_layer_norm(layers["norm"], graph, x)
    x = export_mean_pool(layers["mean_pool"], graph, x)
    x = export_fully_connected(layers["head"], graph, x)
    return graph.finish([image], x, "vision transformer by mcuformer_tflm")
