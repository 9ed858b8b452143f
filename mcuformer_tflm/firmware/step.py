"""What the emission of one operator sees: its tensors as C++ expressions, its options."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from mcuformer_tflm.keras_models.exceptions import ModelError
from mcuformer_tflm.keras_models.foreign_text import allowed
from mcuformer_tflm.plan.memory_plan import MemoryPlan, PlannedBuffer
from mcuformer_tflm.tflite.model_graph import ModelGraph, Operator, Tensor

_TYPES = {"int8": "int8_t", "int16": "int16_t", "int32": "int32_t", "uint16": "uint16_t"}


def braces(**fields: object) -> str:
    """Returns designated initialisers; C++ checks their names and their order."""
    return "{" + ", ".join(f".{name} = {value}" for name, value in fields.items()) + "}"


def unique_identifiers(names: Iterable[str]) -> list[str]:
    """Returns an identifier for each name, no two alike: what is taken gets a number behind it."""
    taken: set[str] = set()
    # Of each text the number from which on one may be free: a model may have one name for all.
    free: dict[str, int] = {}
    result = []
    for name in names:
        unique = text = allowed(name, "identifier")
        while unique in taken:
            number = free.get(text, 2)
            unique, free[text] = f"{text}_{number}", number + 1
        taken.add(unique)
        result.append(unique)
    return result


def arena_name(region: int) -> str:
    """Returns the C++ name of the arena's part in a region of SRAM."""
    return f"arena_{region}" if region else "arena"


def address(buffer: PlannedBuffer, ctype: str) -> str:
    """Returns the expression of a pointer to a planned buffer."""
    return f"At<{ctype}>({arena_name(buffer.region)}, {buffer.offset})"


@dataclasses.dataclass
class Step:
    """One operator of a graph, on its way to C++.

    Attributes:
        graph: The model's graph.
        index: The operator's place in the order of execution.
        plan: Where the arena's buffers lie.
        symbols: C++ names of the constants, by tensor.
        types: C++ types in which constants are read, by tensor; filled by the emission.
    """

    graph: ModelGraph
    index: int
    plan: MemoryPlan
    symbols: Mapping[int, str]
    types: dict[int, str]

    @property
    def operator(self) -> Operator:
        """The operator itself."""
        return self.graph.operators[self.index]

    @property
    def source(self) -> Tensor:
        """The first input."""
        return self.graph.tensors[self.operator.inputs[0]]

    @property
    def output(self) -> Tensor:
        """The first output."""
        return self.graph.tensors[self.operator.outputs[0]]

    def has(self, position: int) -> bool:
        """Whether an optional input is there."""
        return position < len(self.operator.inputs) and self.operator.inputs[position] >= 0

    def shape(self, position: int) -> tuple[int, ...]:
        """Shape of an input."""
        return self.graph.tensors[self.operator.inputs[position]].shape

    def option(self, name: str) -> int:
        """An option of the operator.

        Raises:
            ModelError: If it is missing.
        """
        if name not in self.operator.options:
            raise ModelError(
                f"{self.operator.code} ({self.output.name}) lacks the option {name}. Convert the "
                "model again."
            )
        return self.operator.options[name]

    def factor(self, name: str) -> str:
        """A ``QuantizedMultiplier`` from the options ``<name>_multiplier``, ``<name>_shift``."""
        prefix = f"{name}_" if name else ""
        return braces(
            multiplier=self.option(f"{prefix}multiplier"), shift=self.option(f"{prefix}shift")
        )

    def constant(self, position: int, ctype: str | None = None) -> str:
        """Name of a constant, read as ``ctype``; ``nullptr`` where it is absent."""
        if not self.has(position):
            return "nullptr"
        index = self.operator.inputs[position]
        if index not in self.symbols:
            raise ModelError(
                f"Input {position} of {self.operator.code} ({self.output.name}) is no constant."
            )
        self.types[index] = ctype or _TYPES[self.graph.tensors[index].dtype]
        return self.symbols[index]

    def layer(self, position: int) -> str:
        """A ``PackedLayer`` from weights and constants at two inputs; empty where absent."""
        if not self.has(position):
            return "{}"
        return braces(
            weights=self.constant(position),
            constants=self.constant(position + 1, "mcuformer::UnitConstants"),
            weight_bits=self.operator.options.get("weight_bits", 8),
        )

    def input_at(self, position: int = 0) -> str:
        """Pointer to an input in the arena."""
        return self._at(self.operator.inputs[position])

    def output_at(self) -> str:
        """Pointer to the output."""
        return self._at(self.operator.outputs[0])

    def scratch_at(self, ctype: str = "int8_t") -> str:
        """Pointer to the operator's scratch."""
        for buffer in self.plan.buffers:
            if buffer.tensor is None and buffer.first_operator == self.index:
                return address(buffer, ctype)
        raise ModelError(f"The plan has no scratch for {self.operator.code} ({self.output.name}).")

    def _at(self, tensor: int) -> str:
        for buffer in self.plan.buffers:
            if buffer.tensor == tensor:
                return address(buffer, _TYPES[self.graph.tensors[tensor].dtype])
        raise ModelError(
            f"{self.operator.code} ({self.output.name}) takes {self.graph.tensors[tensor].name}, "
            "which lies in flash, where it needs an activation."
        )
