"""How much a model's file unpacks to: its tables may name one vector any number of times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mcuformer_tflm.keras_models.exceptions import ModelError
from mcuformer_tflm.keras_models.untrusted_files import MOST_TIMES_NAMED

_ENTRY_BYTES = 4


def check_extent(root: Any, size: int) -> None:
    """Checks that a model unpacks to bytes of the order of its file.

    Args:
        root: The flatbuffer's root, ``schema.Model``.
        size: Bytes of the file.

    Raises:
        ModelError: If it unpacks to several times as much.
    """
    total = 0
    for extent in _extents(root):
        total += extent
        if total > MOST_TIMES_NAMED * size:
            raise ModelError(
                f"The model file names the same bytes over and over: {size:,} bytes unpack to "
                f"more than {total:,}. It is damaged, or made to fill memory."
            )


def _extents(root: Any) -> Iterator[int]:
    # Bytes of each vector and name, entries of vectors of tables included.
    yield _ENTRY_BYTES * (root.OperatorCodesLength() + root.SignatureDefsLength())
    for i in range(root.OperatorCodesLength()):
        yield len(root.OperatorCodes(i).CustomCode() or b"")
    for i in range(root.BuffersLength()):
        yield _ENTRY_BYTES + root.Buffers(i).DataLength()
    for i in range(root.MetadataLength()):
        yield _ENTRY_BYTES + len(root.Metadata(i).Name() or b"")
    for i in range(root.SignatureDefsLength()):
        signature = root.SignatureDefs(i)
        yield len(signature.SignatureKey() or b"")
        for count, entry in (
            (signature.InputsLength(), signature.Inputs),
            (signature.OutputsLength(), signature.Outputs),
        ):
            for j in range(count):
                yield _ENTRY_BYTES + len(entry(j).Name() or b"")
    for i in range(root.SubgraphsLength()):
        graph = root.Subgraphs(i)
        yield _ENTRY_BYTES * (1 + graph.InputsLength() + graph.OutputsLength())
        for j in range(graph.TensorsLength()):
            yield _ENTRY_BYTES + _of_tensor(graph.Tensors(j))
        for j in range(graph.OperatorsLength()):
            operator = graph.Operators(j)
            yield operator.CustomOptionsLength() + _ENTRY_BYTES * (
                1 + operator.InputsLength() + operator.OutputsLength()
                + operator.IntermediatesLength() + operator.MutatingVariableInputsLength()
            )  # fmt: skip


def _of_tensor(tensor: Any) -> int:
    entries = tensor.ShapeLength() + tensor.ShapeSignatureLength()
    quantization = tensor.Quantization()
    if quantization is not None:
        entries += quantization.ScaleLength() + 2 * quantization.ZeroPointLength()
        entries += quantization.MinLength() + quantization.MaxLength()
    return len(tensor.Name() or b"") + _ENTRY_BYTES * int(entries)
