"""tflite-support's metadata, and the architecture that a model was converted from."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import ModelError
from mcuformer_tflm.tflite.file import add_metadata, pack, read_files, unpack
from mcuformer_tflm.tflite.model_graph import ModelGraph

ARCHITECTURE_NAME = "McuformerArchitecture"
_LABEL_FILE = "labels.txt"
_IMAGE_MEAN = 128.0
_IMAGE_STD = 128.0


def write_metadata(content: bytes, labels: Sequence[str], architecture: Architecture) -> bytes:
    """Returns the model with labels, normalisation and architecture in its metadata.

    The image classifier's writer of tflite-support is used, so that its own task library and
    Android tools read the file. Pixels are normalised as (byte - 128) / 128.
    """
    # Not `import tflite_support`: its native part cannot load once TensorFlow has.
    from tensorflow_lite_support.metadata.python.metadata_writers import image_classifier

    model = unpack(content)
    add_metadata(model, ARCHITECTURE_NAME, architecture.to_json().encode())
    with tempfile.TemporaryDirectory() as folder:
        label_file = Path(folder) / _LABEL_FILE
        label_file.write_text("\n".join(labels) + "\n")
        writer = image_classifier.MetadataWriter.create_for_inference(
            bytearray(pack(model)), [_IMAGE_MEAN], [_IMAGE_STD], [str(label_file)]
        )
        populated = bytes(writer.populate())
    # The writer packs without the alignment of buffers.
    return pack(unpack(populated), read_files(populated))


def read_labels(content: bytes) -> tuple[str, ...]:
    """Returns the class names from a model's metadata.

    Raises:
        ModelError: If the model carries none.
    """
    labels = read_files(content).get(_LABEL_FILE)
    if labels is None:
        raise ModelError(
            "The model carries no labels. They are written by convert(..., labels=...); "
            "convert the model again."
        )
    return tuple(labels.decode(errors="replace").splitlines())


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
