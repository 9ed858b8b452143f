"""Random graphs for the planner, with a table of their own of what operators permit."""

from hypothesis import strategies as st

from mcuformer_tflm.plan.operator_memory import InPlace, OperatorMemory, Walk
from mcuformer_tflm.tflite.model_graph import ModelGraph, Operator, Tensor

_ROWS = 4


def tensor(name, row, rows=_ROWS):
    return Tensor(name, (1, rows, row), rows * row, "int8", b"", 1.0, 0)


def graph_of(rows, operators, inputs=(0,), outputs=None):
    """Returns a graph: tensor i has 4 rows of rows[i] bytes; operators: (ins, out, options)."""
    tensors = tuple(tensor(f"t{i}", row) for i, row in enumerate(rows))
    made = tuple(Operator("Test", tuple(i), (o,), dict(options)) for i, o, options in operators)
    return ModelGraph(tensors, made, tuple(inputs), outputs or (len(rows) - 1,), {})


def test_operator_memory(graph, operator):
    """Stands in for ``operator_memory``: options in_place, scratch_0, scratch_1."""
    options = operator.options
    scratch = tuple(options[key] for key in ("scratch_0", "scratch_1") if key in options)
    if not options.get("in_place"):
        return OperatorMemory(scratch)
    source, output = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    read, written = source.shape[-1], output.shape[-1]
    order = options.get("order", "descending" if written > read else "ascending")
    return OperatorMemory(scratch, InPlace(operator.inputs[0], Walk(order, _ROWS, read, written)))


test_operator_memory.__test__ = False


@st.composite
def graphs(draw, max_operators=12):
    """Draws graphs of 1 to ``max_operators`` operators that read one or two earlier tensors."""
    count = draw(st.integers(1, max_operators))
    sizes = [draw(st.integers(1, 60)) for _ in range(count + 1)]
    operators = []
    for output in range(1, count + 1):
        sources = {draw(st.integers(max(0, output - 4), output - 1)), output - 1}
        options = {}
        if draw(st.booleans()):
            options["in_place"] = 1
        for key in ("scratch_0", "scratch_1"):
            if draw(st.integers(0, 2)) == 0:
                options[key] = draw(st.integers(1, 150))
        operators.append((sorted(sources, reverse=draw(st.booleans())), output, options))
    # Of several outputs some are read further on, by the last operator among others.
    taken = draw(st.sets(st.integers(1, count), max_size=2))
    return graph_of(sizes, operators, outputs=tuple(sorted({*taken, count})))
