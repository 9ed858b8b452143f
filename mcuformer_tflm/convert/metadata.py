"""tflite-support's metadata, and the architecture that a model was converted from."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import ModelError
from mcuformer_tflm.tflite.file import Model, add_metadata, model_content, pack, read_files, unpack
from mcuformer_tflm.tflite.model_graph import ModelGraph, read_graph

ARCHITECTURE_NAME = "McuformerArchitecture"
_LABEL_FILE = "labels.txt"
_IMAGE_MEAN = 128.0
_IMAGE_STD = 128.0
_OUTPUT_NAME = "logits"
# `search/cost/model_file.py` counts the bytes of these texts.
_OUTPUT_DESCRIPTION = "Logits of the labels, softmax not yet applied."


def write_metadata(content: bytes, labels: Sequence[str], architecture: Architecture) -> bytes:
    """Returns the model with labels, normalisation and architecture in its metadata.

    The image classifier's writer of tflite-support is used, so that its own task library and
    Android tools read the file. Pixels are normalised as (byte - 128) / 128; one channel is grey,
    three are RGB, and of any other number nothing is said. The output is named "logits".
    """
    # Not `import tflite_support`: its native part cannot load once TensorFlow has.
    from tensorflow_lite_support.metadata import metadata_schema_py_generated as schema
    from tensorflow_lite_support.metadata.python.metadata_writers import (
        image_classifier,
        metadata_info,
    )

    model = unpack(content)
    add_metadata(model, ARCHITECTURE_NAME, architecture.to_json().encode())
    with tempfile.TemporaryDirectory() as folder:
        label_file = Path(folder) / _LABEL_FILE
        label_file.write_bytes("".join(f"{label}\n" for label in labels).encode())
        # Not `create_for_inference`, which calls every input RGB and every output a probability.
        writer = image_classifier.MetadataWriter.create_from_metadata_info(
            bytearray(pack(model)),
            input_md=metadata_info.InputImageTensorMd(
                image_classifier.INPUT_NAME,
                image_classifier.INPUT_DESCRIPTION,
                [_IMAGE_MEAN],
                [_IMAGE_STD],
                {1: schema.ColorSpaceType.GRAYSCALE, 3: schema.ColorSpaceType.RGB}.get(
                    architecture.channels, schema.ColorSpaceType.UNKNOWN
                ),
            ),
            output_md=metadata_info.ClassificationTensorMd(
                _OUTPUT_NAME,
                _OUTPUT_DESCRIPTION,
                [metadata_info.LabelFileMd(file_path=str(label_file))],
            ),
        )
        populated = bytes(writer.populate())
    # The writer packs without the alignment of buffers.
    return pack(unpack(populated), read_files(populated))


def rewrite_metadata(model: Model) -> bytes:
    """Returns a model of ours with its metadata as ``write_metadata`` writes it today.

    Weights, operators and the memory plan stay as they are.

    Raises:
        ModelError: If the model was not written by this package, or is damaged.
    """
    content = model_content(model)
    architecture = read_architecture(read_graph(content))
    return write_metadata(content, read_labels(content, architecture.num_classes), architecture)


def read_labels(model: Model, num_classes: int) -> tuple[str, ...]:
    """Returns the class names from a model's metadata.

    Args:
        model: Path of a ``.tflite``, or its bytes.
        num_classes: How many there must be.

    Raises:
        ModelError: If the model carries none, or another number of them.
    """
    written = read_files(model).get(_LABEL_FILE)
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


def read_architecture(graph: ModelGraph) -> Architecture:
    """Returns the architecture that a model was converted from.

    Raises:
        ModelError: If the model was not written by this package.
    """
    if ARCHITECTURE_NAME not in graph.metadata:
        raise ModelError(
            f"The model has no metadata {ARCHITECTURE_NAME}, so it was not written by "
            "mcuformer. Convert a subnet with mcuformer_tflm.convert, or run `make demo` for an "
            "example."
        )
    return Architecture.from_json(graph.metadata[ARCHITECTURE_NAME].decode(errors="replace"))
