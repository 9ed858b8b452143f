"""tflite-support's metadata, and the architecture that a model was converted from."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import ConfigError, ModelError
from mcuformer_tflm.plan.memory_plan import RECORD_NAME
from mcuformer_tflm.tflite.file import Model, add_metadata, model_content, pack, read_files, unpack
from mcuformer_tflm.tflite.image_input import image_shape
from mcuformer_tflm.tflite.model_graph import ModelGraph, read_graph

ARCHITECTURE_NAME = "McuformerArchitecture"
_LABEL_FILE = "labels.txt"
_IMAGE_MEAN = 128.0
_IMAGE_STD = 128.0
_OUTPUT_NAME = "logits"
_MODEL_NAME = "ImageNetwork"
_MODEL_DESCRIPTION = "Gives outputs of a neural network for an image."
# `search/cost/model_file.py` counts the bytes of these texts.
_OUTPUT_DESCRIPTION = "Logits of the labels, softmax not yet applied."


def write_metadata(
    content: bytes,
    labels: Mapping[str, Sequence[str]],
    architecture: Architecture | None = None,
) -> bytes:
    """Returns the model with labels, normalisation and architecture in its metadata.

    tflite-support's writers are used; of a model that gives logits alone that of the image
    classifier, so that its task library and Android tools read the file. Pixels are normalised as
    (byte - 128) / 128; one channel is grey, three are RGB, and of any other number nothing is said.
    The only output is named "logits" where it has labels, and all others as they are.

    Args:
        content: The model.
        labels: Class names of outputs by name; an output that is no logits has none.
        architecture: What the model was converted from, where it is a subnet.
    """
    # Not `import tflite_support`: its native part cannot load once TensorFlow has.
    from tensorflow_lite_support.metadata.python.metadata_writers import (
        image_classifier,
        metadata_info,
        metadata_writer,
    )

    graph = read_graph(content)
    names = [graph.tensors[index].name for index in graph.outputs]
    model = unpack(content)
    if architecture is not None:
        add_metadata(model, ARCHITECTURE_NAME, architecture.to_json().encode())
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for index, name in enumerate(names):
            if name in labels:
                files[name] = Path(folder) / _label_file(index, len(names))
                text = "".join(f"{label}\n" for label in labels[name])
                files[name].write_bytes(text.encode())
        source, packed = _image_metadata(graph), bytearray(pack(model))
        if list(files) == names[:1] == names:
            # Not `create_for_inference`, which calls every input RGB, outputs probabilities.
            writer = image_classifier.MetadataWriter.create_from_metadata_info(
                packed,
                input_md=source,
                output_md=_logits_metadata(files[names[0]], _OUTPUT_NAME),
            )
        else:
            writer = metadata_writer.MetadataWriter.create_from_metadata_info(
                packed,
                metadata_info.GeneralMd(_MODEL_NAME, description=_MODEL_DESCRIPTION),
                [source],
                [
                    _logits_metadata(files[name], name)
                    if name in files
                    else metadata_info.TensorMd(name, tensor_name=name)
                    for name in names
                ],
                list(map(str, files.values())),
            )
        populated = bytes(writer.populate())
    # The writer packs without the alignment of buffers.
    return pack(unpack(populated), read_files(populated))


def _image_metadata(graph: ModelGraph) -> Any:
    from tensorflow_lite_support.metadata import metadata_schema_py_generated as schema
    from tensorflow_lite_support.metadata.python.metadata_writers import (
        image_classifier,
        metadata_info,
    )

    spaces = {1: schema.ColorSpaceType.GRAYSCALE, 3: schema.ColorSpaceType.RGB}
    channels = graph.tensors[graph.inputs[0]].shape[-1]
    return metadata_info.InputImageTensorMd(
        image_classifier.INPUT_NAME,
        image_classifier.INPUT_DESCRIPTION,
        [_IMAGE_MEAN],
        [_IMAGE_STD],
        spaces.get(channels, schema.ColorSpaceType.UNKNOWN),
    )


def _logits_metadata(file: Path, name: str) -> Any:
    from tensorflow_lite_support.metadata.python.metadata_writers import metadata_info

    described = metadata_info.ClassificationTensorMd(
        name, _OUTPUT_DESCRIPTION, [metadata_info.LabelFileMd(file_path=str(file))]
    )
    if name != _OUTPUT_NAME:
        described.tensor_name = name
    return described


def _label_file(index: int, num_outputs: int) -> str:
    return _LABEL_FILE if num_outputs == 1 else f"labels_{index}.txt"


def rewrite_metadata(model: Model) -> bytes:
    """Returns a model of ours with its metadata as ``write_metadata`` writes it today.

    Weights, operators and the memory plan stay as they are.

    Raises:
        ModelError: If the model was not written by this package, or is damaged.
    """
    content = model_content(model)
    graph = read_graph(content)
    return write_metadata(content, read_output_labels(content), find_architecture(graph))


def read_output_labels(model: Model) -> dict[str, tuple[str, ...]]:
    """Returns the class names of each output that has some, by its name.

    Raises:
        ModelError: If an output has another number of them than of values, or a subnet has none.
    """
    content = model_content(model)
    graph, files = read_graph(content), read_files(content)
    found = {}
    for position, index in enumerate(graph.outputs):
        tensor = graph.tensors[index]
        file = _label_file(position, len(graph.outputs))
        if file in files or ARCHITECTURE_NAME in graph.metadata:
            found[tensor.name] = _labels(files.get(file), tensor.shape[-1])
    return found


def read_labels(model: Model, num_classes: int) -> tuple[str, ...]:
    """Returns the class names from a model's metadata.

    Args:
        model: Path of a ``.tflite``, or its bytes.
        num_classes: How many there must be.

    Raises:
        ModelError: If the model carries none, or another number of them.
    """
    return _labels(read_files(model).get(_LABEL_FILE), num_classes)


def _labels(written: bytes | None, num_classes: int) -> tuple[str, ...]:
    if written is None:
        raise ModelError(
            "The model carries no labels. They are written by convert(..., labels=...); "
            "convert the model again."
        )
    # Split where `write_metadata` joined them, and nowhere else.
    labels = tuple(written.decode(errors="replace").removesuffix("\n").split("\n"))
    if len(labels) != num_classes:
        raise ModelError(
            f"The model carries {len(labels)} labels for {num_classes} classes; convert it again, "
            "with one label a class."
        )
    return labels


def find_architecture(graph: ModelGraph) -> Architecture | None:
    """Returns the architecture that a model was converted from; None of no subnet.

    Raises:
        ModelError: If the model was not written by this package.
    """
    if ARCHITECTURE_NAME not in graph.metadata and RECORD_NAME in graph.metadata:
        return None
    return read_architecture(graph)


def read_architecture(graph: ModelGraph) -> Architecture:
    """Returns the architecture that a model was converted from.

    Raises:
        ModelError: If the model was not written by this package, or its architecture is that of
            another.
    """
    if ARCHITECTURE_NAME not in graph.metadata:
        raise ModelError(
            f"The model has no metadata {ARCHITECTURE_NAME}, so it was not written by "
            "mcuformer, or is no subnet. Convert one with mcuformer_tflm.convert, or run "
            "`make demo` for an example."
        )
    try:
        text = graph.metadata[ARCHITECTURE_NAME].decode(errors="replace")
        architecture = Architecture.from_json(text)
    except (ConfigError, RecursionError) as error:
        raise ModelError(f"The model's metadata {ARCHITECTURE_NAME} is damaged: {error}") from error
    classes = [graph.tensors[index].shape[-1] for index in graph.outputs]
    found = (image_shape(graph), classes)
    if found != (architecture.image_shape, [architecture.num_classes]):
        raise ModelError(
            f"The model's metadata {ARCHITECTURE_NAME} is another model's: it has images of "
            f"{architecture.image_shape} and {architecture.num_classes} classes, the model images "
            f"of {found[0]} and outputs of {classes}."
        )
    return architecture
