"""The names of ``tf.lite.Interpreter``, for scripts that were written for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError
from mcuformer_tflm.tflite.model_graph import ModelGraph, Tensor


class LiteInterpreter:
    """Answers to ``tf.lite.Interpreter``'s names, so that a script changes one line.

    One image at a time, as tensors with a leading axis of 1. These methods keep an image and its
    outputs between calls, so threads that share an interpreter use ``run`` instead, which does not.
    """

    graph: ModelGraph
    _shape: tuple[int, ...]

    _given: np.ndarray | None = None
    _found: list[np.ndarray] | None = None

    def _integers(
        self, images: np.ndarray, progress: Callable[[int, int], None] | None = None
    ) -> list[np.ndarray]:
        raise NotImplementedError

    def allocate_tensors(self) -> None:
        """Does nothing: the arena was allocated when the model was opened."""

    def get_input_details(self) -> list[dict[str, Any]]:
        """Returns name, index, shape, dtype and quantization of the input, as TFLite tells them."""
        (index,) = self.graph.inputs
        return [_details(index, self.graph.tensors[index], (1, *self._shape))]

    def get_output_details(self) -> list[dict[str, Any]]:
        """Returns name, index, shape, dtype and quantization of each output, in their order."""
        tensors = self.graph.tensors
        return [
            _details(index, tensors[index], tensors[index].shape) for index in self.graph.outputs
        ]

    def resize_tensor_input(
        self, input_index: int, tensor_size: Sequence[int], strict: bool = False
    ) -> None:
        """Accepts the input's own shape; a microcontroller's model has no other.

        Raises:
            ConfigError: If it is another index or shape.
        """
        (detail,) = self.get_input_details()
        self._check_input(input_index)
        if tuple(tensor_size) != tuple(detail["shape"]):
            raise ConfigError(
                f"tensor_size is {list(tensor_size)}; the model's memory was planned for "
                f"{detail['shape'].tolist()}. Give images one by one, or use run(images)."
            )

    def set_tensor(self, tensor_index: int, value: np.ndarray) -> None:
        """Gives the image of the next ``invoke``.

        Args:
            tensor_index: The input's ``index`` in ``get_input_details``.
            value: int8[1, height, width, channels].

        Raises:
            ConfigError: If it is no input's index.
            DataError: If dtype or shape are others.
        """
        self._check_input(tensor_index)
        value, (detail,) = np.asarray(value), self.get_input_details()
        if value.dtype != detail["dtype"] or value.shape != tuple(detail["shape"]):
            raise DataError(
                f"value is {value.dtype}{list(value.shape)}; the input {detail['name']} takes "
                f"{np.dtype(detail['dtype'])}{detail['shape'].tolist()}. quantize_images makes "
                "int8 of images."
            )
        self._given = value.copy()

    def invoke(self) -> None:
        """Runs the model on the image of ``set_tensor``.

        Raises:
            ConfigError: If none was given yet.
            ModelError: If an operator fails.
        """
        if self._given is None:
            raise ConfigError("No image was given; call set_tensor before invoke.")
        self._found = self._integers(self._given)

    def get_tensor(self, tensor_index: int) -> np.ndarray:
        """Returns a copy of an output of the last ``invoke``, or of the input that was given.

        Args:
            tensor_index: Its ``index`` in ``get_output_details`` or ``get_input_details``.

        Raises:
            ConfigError: If it is neither, or there is nothing in it yet.
        """
        if tensor_index in self.graph.inputs and self._given is not None:
            return self._given.copy()
        if tensor_index not in (*self.graph.inputs, *self.graph.outputs):
            raise ConfigError(
                f"tensor_index is {tensor_index}; allowed are the input {self.graph.inputs[0]} and "
                f"the outputs {', '.join(map(str, self.graph.outputs))}: what lies between is "
                "overwritten in the arena."
            )
        if self._found is None:
            raise ConfigError("There is nothing in the tensor yet; call invoke before get_tensor.")
        return self._found[self.graph.outputs.index(tensor_index)].copy()

    def _check_input(self, index: int) -> None:
        if index not in self.graph.inputs:
            raise ConfigError(
                f"tensor_index is {index}; the model's input is {self.graph.inputs[0]}."
            )


def _details(index: int, tensor: Tensor, shape: Sequence[int]) -> dict[str, Any]:
    quantized = tensor.num_scales > 0 and tensor.scale > 0
    return {
        "name": tensor.name,
        "index": index,
        "shape": np.asarray(shape, np.int32),
        "shape_signature": np.asarray(shape, np.int32),
        "dtype": np.dtype(tensor.dtype).type,
        "quantization": (tensor.scale, tensor.zero_point) if quantized else (0.0, 0),
        "quantization_parameters": {
            "scales": np.asarray([tensor.scale] if quantized else [], np.float32),
            "zero_points": np.asarray([tensor.zero_point] if quantized else [], np.int32),
            "quantized_dimension": 0,
        },
        "sparsity_parameters": {},
    }
