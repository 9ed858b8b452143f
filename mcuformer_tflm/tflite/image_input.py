"""The image that a model takes, whole or in strips of rows."""

from __future__ import annotations

from mcuformer_tflm.custom_ops.reference.patch_embed import MODES
from mcuformer_tflm.keras_models.exceptions import ModelError
from mcuformer_tflm.tflite.model_graph import ModelGraph


def reads_strips(graph: ModelGraph) -> bool:
    """Whether a model asks for its image in strips, instead of taking it whole."""
    return graph.operators[0].options.get("mode") == MODES.index("strips")


def image_shape(graph: ModelGraph) -> tuple[int, int, int]:
    """Returns height, width and channels of the image that a model takes, whole or in strips.

    Raises:
        ModelError: If the model takes no image, or several.
    """
    shapes = [graph.tensors[index].shape for index in graph.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][0] != 1:
        raise ModelError(
            f"The model takes {' and '.join(map(str, shapes)) or 'nothing'}; it must take one: "
            "(1, height, width, channels)."
        )
    _, height, width, channels = shapes[0]
    readers = [op for op in graph.operators if op.inputs and op.inputs[0] == graph.inputs[0]]
    return max([height, *(op.options.get("image_height", 0) for op in readers)]), width, channels
