"""Flatbuffers of models: unpacked, edited, and packed with aligned buffers."""

from __future__ import annotations

import os
import zipfile
from io import BytesIO

import flatbuffers
import numpy as np

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path, shown
from mcuformer_tflm.keras_models.exceptions import ConfigError, ModelError
from mcuformer_tflm.keras_models.untrusted_files import (
    MOST_LABEL_BYTES,
    MOST_MODEL_BYTES,
    read_file,
)
from mcuformer_tflm.tflite.schema import schema

# A model as users give it: the path of a file, or its bytes.
Model = AnyPath | bytes | bytearray | memoryview

_ALIGNMENT = 16


def model_content(model: Model) -> bytes:
    """Returns a model's bytes, read from its file where a path is given.

    Raises:
        ConfigError: If it is neither a path nor bytes.
        ModelError: If the file cannot be read.
    """
    if isinstance(model, bytes | bytearray | memoryview):
        return bytes(model)
    if not isinstance(model, str | os.PathLike):
        raise ConfigError(f"model is {shown(model)}; it must be a .tflite file's path or bytes.")
    path = checked_path("model", model)
    try:
        return read_file(path, MOST_MODEL_BYTES)
    except OSError as error:
        raise ModelError(
            f"The model {path} cannot be read ({error.strerror}). `make demo` writes "
            "build/demo/model.tflite."
        ) from error


def add_metadata(model: schema.ModelT, name: str, content: bytes) -> None:
    """Adds a metadata buffer to a model; one of the same name gets the new content instead."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8)
    model.metadata = model.metadata or []
    for metadata in model.metadata:
        if _text(metadata.name) == name:
            model.buffers[metadata.buffer] = buffer
            return
    model.buffers.append(buffer)
    metadata = schema.MetadataT()
    metadata.name = name.encode()
    metadata.buffer = len(model.buffers) - 1
    model.metadata.append(metadata)


def unpack(content: bytes) -> schema.ModelT:
    """Returns the editable form of a model that is known to be intact."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))


def read_files(model: Model) -> dict[str, bytes]:
    """Returns the files that tflite-support's metadata has appended to a model, by name.

    Raises:
        ModelError: If they unpack to more than texts of a model take.
    """
    try:
        with zipfile.ZipFile(BytesIO(model_content(model))) as archive:
            total = sum(entry.file_size for entry in archive.infolist())
            if total > MOST_LABEL_BYTES:
                raise ModelError(
                    f"The model carries files of {total:,} bytes, unpacked; labels take "
                    f"{MOST_LABEL_BYTES:,} at most."
                )
            return {name: archive.read(name) for name in archive.namelist()}
    except ModelError:
        raise
    # zipfile raises whatever damaged bytes lead it to: of a password a RuntimeError, of data that
    # end too soon an EOFError, of a kind of packing a NotImplementedError.
    except Exception:
        return {}


def pack(model: schema.ModelT, files: dict[str, bytes] | None = None) -> bytes:
    """Returns the flatbuffer, with every buffer's data at a multiple of 16 bytes.

    ``Pack`` of the object API drops the schema's ``force_align: 16``, and kernels that read
    int32 constants in place need it. Buffers are packed here, the rest by ``Pack``.

    Args:
        model: What to pack.
        files: Files to append as a zip archive, as tflite-support does.
    """
    builder = flatbuffers.Builder(1 << 16)
    packers = [_AlignedBuffer(buffer) for buffer in model.buffers]
    originals, model.buffers = model.buffers, packers
    try:
        root = model.Pack(builder)
    finally:
        model.buffers = originals
    builder.Finish(root, file_identifier=b"TFL3")
    if not files:
        return bytes(builder.Output())
    output = BytesIO()
    output.write(builder.Output())
    # Not "a", which takes bytes of a buffer for an archive that it goes on with.
    with zipfile.ZipFile(output, "w") as archive:
        for name, file_content in files.items():
            archive.writestr(zipfile.ZipInfo(name), file_content)
    return output.getvalue()


class _AlignedBuffer:
    def __init__(self, buffer: schema.BufferT) -> None:
        self._data = None if buffer.data is None else np.asarray(buffer.data, np.uint8)

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802
        data = None
        if self._data is not None and len(self._data):
            builder.StartVector(1, len(self._data), _ALIGNMENT)
            builder.head -= len(self._data)
            builder.Bytes[builder.Head() : builder.Head() + len(self._data)] = self._data.tobytes()
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


def _text(name: bytes | str | None) -> str:
    return name.decode() if isinstance(name, bytes) else name or ""
