"""The model as C++: constants, arena, a function an operator, calls in a straight line."""

from __future__ import annotations

import dataclasses
import re

import numpy as np

from mcuformer_tflm.firmware.operators import EMITTERS
from mcuformer_tflm.firmware.step import Step, address, arena_name, unique_identifiers
from mcuformer_tflm.keras_models.exceptions import ModelError
from mcuformer_tflm.keras_models.foreign_text import allowed
from mcuformer_tflm.plan.cost import constant_tensors
from mcuformer_tflm.plan.memory_plan import MemoryPlan
from mcuformer_tflm.tflite.image_input import image_shape, reads_strips
from mcuformer_tflm.tflite.model_graph import ModelGraph

_ALIGNMENT = 16
_SECTIONS = {"internal": ".mcuformer.constants", "external": ".mcuformer.external"}
# For linker scripts of others, which know what lies in such sections.
_LIBRARY_SECTION = ".rodata.mcuformer"
_WORDS_A_LINE = 8
_ABSENT = "the model's constants are not as they were linked: is the external flash written?"
# A line of text (support/app/text.h) holds no more beside what else a profile's line has.
_NAME_BYTES = 150
_HEADERS = (
    "add", "argmax", "attention", "conv_stem", "fully_connected", "gelu", "layer_norm",
    "mean_pool", "mlp", "patch_embed", "softmax", "token_pool",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ModelSource:
    """The generated files.

    Attributes:
        model: ``model.cc``.
        shape: ``model_shape.h``.
        assembly: ``constants.S``, which takes ``constants.bin`` into the program; in a library the
            constants themselves, since it builds without a path to that.
        constants: ``constants.bin``.
    """

    model: str
    shape: str
    assembly: str
    constants: bytes


def operator_functions(graph: ModelGraph) -> list[str]:
    """Returns the name of each operator's C++ function, after its output, in order."""
    outputs = [graph.tensors[operator.outputs[0]].name for operator in graph.operators]
    return [f"run_{name}" for name in unique_identifiers(outputs)]


def operator_names(graph: ModelGraph) -> list[str]:
    """Returns the name of each operator in a profile, in order: its function's, shortened."""
    return [name.removeprefix("run_")[:_NAME_BYTES] for name in operator_functions(graph)]


def check_operators(graph: ModelGraph) -> None:
    """Checks that the firmware has every operator of a model.

    Raises:
        ModelError: If it lacks some; names them.
    """
    foreign = sorted({operator.code for operator in graph.operators} - set(EMITTERS))
    if foreign:
        raise ModelError(
            f"The model has operators that the firmware lacks: {', '.join(foreign)}. It has "
            f"{', '.join(EMITTERS)}."
        )


def write_source(
    model: bytes,
    graph: ModelGraph,
    plan: MemoryPlan,
    external: set[int],
    *,
    library: bool = False,
) -> ModelSource:
    """Writes a model as C++.

    Args:
        model: The ``.tflite``.
        graph: Its graph.
        plan: Its memory plan.
        external: Constants, by tensor, that lie in external flash.
        library: Whether a linker script of others places constants and arena: where its read-only
            data and its variables are.

    Raises:
        ModelError: If the model has operators, options or types that the firmware lacks.
    """
    check_operators(graph)
    tensors = constant_tensors(graph)
    symbols = _symbols(graph, tensors)
    types: dict[int, str] = {}
    steps = [Step(graph, i, plan, symbols, types) for i in range(len(graph.operators))]
    functions = operator_functions(graph)
    bodies = [EMITTERS[step.operator.code](step) for step in steps]
    strips = reads_strips(graph)
    sections = {"internal": _LIBRARY_SECTION} if library else _SECTIONS
    assembly, constants = _assemble(graph, tensors, symbols, external, sections)
    if library:
        assembly = _self_contained(assembly, constants)
    program = "\n".join(
        [
            *_opening(
                plan, [(types[i], symbols[i]) for i in tensors if i in types], strips, library
            ),
            *(_function(*part) for part in zip(steps, functions, bodies, strict=True)),
            *_checksums(graph, [i for i in tensors if i in external], symbols),
            "}  // namespace",
            "",
            *_profile(graph),
            *_interface(graph, plan, functions, bodies, strips),
        ]
    )
    return ModelSource(program + "\n", _shape(model, graph), assembly, constants)


def _opening(
    plan: MemoryPlan, constants: list[tuple[str, str]], strips: bool, library: bool
) -> list[str]:
    lines = ["// Written by `mcuformer firmware`; written again, it is replaced.", ""]
    lines += ["#include <cstring>", "", '#include "checksum.h"']
    lines += [f'#include "kernels/{name}.h"' for name in _HEADERS]
    lines += ['#include "mcuformer.h"', "", "#ifdef MCUFORMER_PROFILE"]
    lines += [
        '#include "app/readings.h"',
        "#else",
        "#define MCUFORMER_READ_COUNTER(operators_done)",
    ]
    lines += ["#endif", "", "// constants.S", 'extern "C" {']
    lines += [f"extern const {ctype} {symbol}[];" for ctype, symbol in constants]
    lines += ["}", "", "namespace {", ""]
    for region in range(plan.num_regions):
        name = arena_name(region)
        # Beside the first, the board's script has a place for those between first and last.
        section = f".bss.mcuformer.{name}" if region or library else ".mcuformer.arena"
        lines += [
            f'alignas({_ALIGNMENT}) __attribute__((section("{section}"))) '
            f"uint8_t {name}[{max(plan.region_bytes(region), _ALIGNMENT)}];"
        ]
    if strips:
        lines += ["", "struct {", "  mcuformer_read_rows read;", "  void* context;", "} rows;"]
    return [
        *lines,
        "",
        "template <typename T>",
        "T* At(uint8_t* region, int offset) {",
        "  return reinterpret_cast<T*>(region + offset);",
        "}",
        "",
    ]


def _function(step: Step, name: str, body: str) -> str:
    kind = "bool" if body.startswith("return") else "void"
    inputs = ", ".join(
        _describe(step.graph, i) for i in step.operator.inputs if i >= 0 and i not in step.symbols
    )
    return (
        f"// {step.operator.code}: {inputs} to {_describe(step.graph, step.operator.outputs[0])}\n"
        f"__attribute__((noinline)) {kind} {name}() {{\n  {body}\n}}\n"
    )


def _describe(graph: ModelGraph, index: int) -> str:
    tensor = graph.tensors[index]
    return f"{allowed(tensor.name, 'comment')} {tensor.dtype}{list(tensor.shape)}"


def _checksums(graph: ModelGraph, external: list[int], symbols: dict[int, str]) -> list[str]:
    # Internal flash holds the program itself; the external one may be empty, or not mapped.
    if not external:
        return ["bool ConstantsAreThere() { return true; }", ""]
    entries = [
        f"    {{{symbols[i]}, {len(graph.tensors[i].data)}, {checksum(graph.tensors[i].data)}u}},"
        for i in external
    ]
    return [
        "bool ConstantsAreThere() {",
        "  static const struct {",
        "    const void* data;",
        "    uint32_t size, sum;",
        "  } kConstants[] = {",
        *entries,
        "  };",
        "  for (const auto& constant : kConstants) {",
        "    const auto* data = static_cast<const uint8_t*>(constant.data);",
        "    if (mcuformer::Checksum(data, constant.size) != constant.sum) return false;",
        "  }",
        "  return true;",
        "}",
        "",
    ]


def _profile(graph: ModelGraph) -> list[str]:
    # support/app/readings.h
    names = operator_names(graph)
    return [
        "#ifdef MCUFORMER_PROFILE",
        "namespace mcuformer {",
        "const char* const kProfiledOperators[] = {",
        *(f'    "{name}",' for name in names),
        "};",
        f"const int kNumProfiledOperators = {len(names)};",
        f"uint32_t readings[{len(names) + 1}];",
        "}  // namespace mcuformer",
        "#endif",
        "",
    ]


def checksum(data: bytes) -> int:
    """Returns the sum of ``support/checksum.h``, which ``mcuformer_init`` compares (32 bits)."""
    values = np.frombuffer(data, np.uint8).astype(np.uint64)
    first = int(values.sum())
    weighted = int((values * np.arange(len(values), 0, -1, dtype=np.uint64)).sum())
    return (weighted + (first << 16)) & 0xFFFFFFFF


def _interface(
    graph: ModelGraph,
    plan: MemoryPlan,
    functions: list[str],
    bodies: list[str],
    strips: bool,
) -> list[str]:
    places = {buffer.tensor: buffer for buffer in plan.buffers}
    image = graph.inputs[0]
    read = "  if (!read(context, 0, MCUFORMER_IMAGE_HEIGHT, {})) return false;".format(
        address(places[image], "int8_t")
    )
    calls = []
    for done, (name, body) in enumerate(zip(functions, bodies, strict=True), 1):
        calls.append(f"  if (!{name}()) return false;" if body[:6] == "return" else f"  {name}();")
        calls.append(f"  MCUFORMER_READ_COUNTER({done});")
    return [
        'static const char* error = "";',
        'extern "C" const char* mcuformer_error() { return error; }',
        "",
        'extern "C" bool mcuformer_init() {',
        "  const bool there = ConstantsAreThere();",
        f'  error = there ? "" : "{_ABSENT}";',
        "  return there;",
        "}",
        "",
        'extern "C" bool mcuformer_run_rows(mcuformer_read_rows read, void* context, '
        "int8_t* output) {",
        "  MCUFORMER_READ_COUNTER(0);",
        "  rows = {read, context};" if strips else read,
        *calls,
        *(
            f"  std::memcpy(output + {offset}, {address(places[index], 'int8_t')}, "
            f"{graph.tensors[index].size});"
            for index, offset in output_offsets(graph).items()
        ),
        "  return true;",
        "}",
        "",
        'extern "C" bool mcuformer_run(const int8_t* input, int8_t* output) {',
        "  const auto copy = [](void* image, int row, int count, int8_t* pixels) {",
        "    constexpr int kRow = MCUFORMER_IMAGE_WIDTH * MCUFORMER_IMAGE_CHANNELS;",
        "    std::memcpy(pixels, *static_cast<const int8_t**>(image) + row * kRow,",
        "                static_cast<size_t>(count) * kRow);",
        "    return true;",
        "  };",
        "  return mcuformer_run_rows(copy, &input, output);",
        "}",
    ]


def _shape(model: bytes, graph: ModelGraph) -> str:
    height, width, channels = image_shape(graph)
    return f"""\
/* Written by `mcuformer firmware`. */
#define MCUFORMER_IMAGE_HEIGHT {height}
#define MCUFORMER_IMAGE_WIDTH {width}
#define MCUFORMER_IMAGE_CHANNELS {channels}
#define MCUFORMER_OUTPUT_BYTES {sum(graph.tensors[index].size for index in graph.outputs)}
{_outputs(graph)}\
/* The .tflite that it was written for. */
#define MCUFORMER_MODEL_BYTES {len(model)}u
#define MCUFORMER_MODEL_CHECKSUM {checksum(model)}u
"""


def output_offsets(graph: ModelGraph) -> dict[int, int]:
    """Returns where each output starts in what ``mcuformer_run`` writes, in bytes, by tensor."""
    offsets, offset = {}, 0
    for index in graph.outputs:
        offsets[index] = offset
        offset += graph.tensors[index].size
    return offsets


def _outputs(graph: ModelGraph) -> str:
    # Where each output lies, and what its integers stand for.
    offsets = output_offsets(graph)
    names = unique_identifiers(graph.tensors[index].name.upper() for index in offsets)
    lines = []
    for name, (index, offset) in zip(names, offsets.items(), strict=True):
        tensor = graph.tensors[index]
        values = {
            "OFFSET": offset, "BYTES": tensor.size, "SCALE": f"{tensor.scale!r}f",
            "ZERO_POINT": tensor.zero_point,
        }  # fmt: skip
        lines.append(f"/* {_describe(graph, index)} */")
        lines += [f"#define MCUFORMER_OUTPUT_{name}_{key} {value}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def _symbols(graph: ModelGraph, tensors: list[int]) -> dict[int, str]:
    # No function's name of mcuformer.h has this beginning.
    names = unique_identifiers(graph.tensors[i].name for i in tensors)
    return {i: f"mcuformer_constant_{name}" for i, name in zip(tensors, names, strict=True)}


def _assemble(
    graph: ModelGraph,
    tensors: list[int],
    symbols: dict[int, str],
    external: set[int],
    sections: dict[str, str],
) -> tuple[str, bytes]:
    lines = ["// Written by `mcuformer firmware`: the model's constants, 16-byte aligned.", ""]
    content = bytearray()
    for place, section in sections.items():
        chosen = [i for i in tensors if (i in external) == (place == "external")]
        if chosen:
            lines.append(f'.section {section}, "a", %progbits')
        for index in chosen:
            data = graph.tensors[index].data
            lines += [
                f".balign {_ALIGNMENT}",
                f".global {symbols[index]}",
                f".type {symbols[index]}, %object",
                f".size {symbols[index]}, {len(data)}",
                f'{symbols[index]}: .incbin "constants.bin", {len(content)}, {len(data)}',
            ]
            content += data
    # The tuned inner loops may read up to 8 bytes past the last weights.
    lines += [f".balign {_ALIGNMENT}", f".space {_ALIGNMENT}"]
    lines += ["// No executable stack.", '.section .note.GNU-stack, "", %progbits']
    return "\n".join(lines) + "\n", bytes(content)


def _self_contained(assembly: str, constants: bytes) -> str:
    """Returns the assembly with its constants in the place of where they are in a file."""

    def numbers(found: re.Match[str]) -> str:
        start, size = int(found[1]), int(found[2])
        data = constants[start : start + size]
        step = 4 * _WORDS_A_LINE
        words, rest = data[: size - size % 4], data[size - size % 4 :]
        lines = [
            "  .long " + ", ".join(f"0x{w:08x}" for w in np.frombuffer(words[i : i + step], "<u4"))
            for i in range(0, len(words), step)
        ]
        lines += ["  .byte " + ", ".join(map(str, rest))] if rest else []
        return "\n".join(["", *lines])

    return re.sub(r' \.incbin "constants\.bin", (\d+), (\d+)', numbers, assembly)
