import gzip
import inspect
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

import mcuformer_tflm
from mcuformer_tflm.bench import PICTURED, SUITES
from mcuformer_tflm.bench.rows import Row, table
from mcuformer_tflm.cli import app
from mcuformer_tflm.emulator.machine import emulated_machine
from mcuformer_tflm.plan import plan_memory
from mcuformer_tflm.plan.cost import estimate_graph_cost
from mcuformer_tflm.plan.planner import read_plan
from mcuformer_tflm.plan.skeleton import skeleton_graph
from mcuformer_tflm.plan.terminal import buffer_table, plan_map
from mcuformer_tflm.search.board import Board, SramRegion
from mcuformer_tflm.search.progress import progress_bars, waiting
from mcuformer_tflm.task.terminal import results
from mcuformer_tflm.tflite.model_graph import read_graph
from mcuformer_tflm.zoo.catalogue import BASELINES, model_card, model_cards, model_path

ROOT = Path(__file__).parents[3]


def _run(*arguments):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def _in_a_process(*arguments, program="from mcuformer_tflm.cli import main; main()", **variables):
    result = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True, timeout=300, check=False, env={**os.environ, **variables},
        encoding=variables.get("PYTHONIOENCODING"), text=True,
    )  # fmt: skip
    return result.returncode, result.stdout, result.stderr


@pytest.fixture(scope="module")
def model_file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.tflite"
    path.write_bytes(model)
    return path


@pytest.mark.parametrize(
    "command",
    [
        "convert",
        "demo",
        "emulate",
        "firmware",
        "plan",
        "profile",
        "quantize",
        "report",
        "search",
        "train",
        "verify",
    ],
)
def test_help_explains_with_an_example(command):
    status, out, _ = _run(command, "--help")
    assert status == 0
    assert f"Example: mcuformer {command}" in " ".join(out.split())


def test_verify_prints_the_accuracy_from_the_file_alone(model_file):
    status, out, err = _run("verify", model_file, "--limit", 50)
    assert status == 0, err
    assert "int8 accuracy in TFLM" in out
    assert "of 50" in out


def test_plan_prints_the_map_and_draws_it(model_file, tmp_path):
    picture = tmp_path / "map.svg"
    status, out, err = _run("plan", model_file, "--board", "stm32f427", "--picture", picture)
    assert status == 0, err
    assert "block_0_attention" in out
    assert "a head at a time, tokens normalised again for each in 2 of 2 blocks" in " ".join(
        out.split()
    )
    assert "It fits stm32f427" in " ".join(out.split())
    estimate = estimate_graph_cost(read_graph(model_file.read_bytes()), "stm32f427")
    assert f"One inference on stm32f427: {estimate.text}." in " ".join(out.split())
    assert estimate.text.endswith("ms (estimates)")
    assert "▓ in place" in out
    assert picture.read_text().lstrip().startswith("<?xml")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["demo", "--board", "stm32f999"], "There is no board 'stm32f999'"),
        (["demo", "--board", "/nowhere/mine.toml"], "/nowhere/mine.toml: there is no such file"),
        (["demo", "--board", "/tmp"], "/tmp: this is a folder; give a board's .toml file"),
        (["demo", "--board", "stm32f764"], "Did you mean stm32f746?"),
        (["demo", "--sram-kib", "1"], "No subnet of this space fits"),
        (["demo", "--ms", "0.05"], "0.05 ms an inference). The nearest (patch_size 8"),
        (["demo", "--ms", "0"], "ms is 0.0; it must be a number in (0, inf)"),
        (["demo", "--weight-bits", "2"], "weight_bits is 2; allowed are 4 and 8"),
        (["demo", "--data-folder", "/nowhere"], "apt-get install dataset-fashion-mnist"),
        (["search"], "data is missing; name a data set, or a trained supernet"),
        (
            ["search", "--data", "fashion-mnist", "--arena-kib", "9"],
            "board is missing; give a board",
        ),
        (["search", "/nowhere.toml"], "/nowhere.toml is no run file that can be read"),
        (["search", "--data", "d", "--board", "stm32f764"], "Did you mean stm32f746?"),
        (
            ["search", "--data", "mine.csv", "--board", "stm32f746"],
            "There is no data set 'mine.csv'",
        ),
        (
            ["search", "--supernet", "mine", "--board", "stm32f746"],
            "supernet is 'mine'; it must be",
        ),
        (["bench", "memory", "--alone", "x"], "--alone is of specialise"),
        (["plan", "/nowhere.tflite"], "/nowhere.tflite cannot be read"),
        (["verify", "/nowhere.tflite", "--data", "imagenet"], "no data set 'imagenet'"),
    ],
)
def test_bad_input_ends_in_one_paragraph_without_traceback(arguments, told, tmp_path):
    out_folder = tmp_path / "out"
    if arguments[0] in ("demo", "search"):
        arguments = [*arguments, "--out", out_folder]
    status, _, err = _run(*arguments)
    assert status == 1
    assert told in " ".join(err.split())
    assert "Traceback" not in err
    assert not list(out_folder.glob("*.*")), "nothing half-written is left"


def test_truncated_model_ends_in_one_paragraph(model, tmp_path):
    path = tmp_path / "short.tflite"
    path.write_bytes(model[: len(model) // 2])
    status, _, err = _run("verify", path)
    assert status == 1
    assert "damaged or cut short" in " ".join(err.split())
    assert "Traceback" not in err


def test_damaged_data_set_is_named(tmp_path, model_file):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"short"))
    status, _, err = _run("verify", model_file, "--data-folder", tmp_path)
    assert status == 1
    assert "train-images-idx3-ubyte.gz is no intact IDX file" in " ".join(err.split())


def test_zoo_list_tells_names_and_figures_whole_in_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, err = _run("zoo", "list")
    assert status == 0, err
    assert all(cell_len(line) <= 80 for line in out.splitlines())
    assert "bytes: arena in TFLM, Cortex-M; flash of the .tflite" in " ".join(out.split())
    lines = [words for words in map(str.split, out.splitlines()) if words[:1] == ["│"]]
    rows = {words[1]: words for words in reversed(lines)}
    firmware = {words[1]: words for words in lines}
    for name, card in {**model_cards(), **model_cards(BASELINES)}.items():
        assert rows[name][3::2] == [
            f"{card.float_top1:.2%}", f"{card.int8_top1:.2%}", f"{card.arena_bytes:,}",
            f"{card.flash_bytes:,}", f"{card.macs:,}",
        ]  # fmt: skip
    assert "milliseconds are estimates" in " ".join(out.split())
    for name, card in model_cards().items():
        boards = list(card.boards.values())
        assert f"{max(board.instructions for board in boards):,}" in firmware[name]
        assert firmware[name][-2:-8:-2] == [
            f"{board.milliseconds_estimated:,.1f}" for board in reversed(boards)
        ]


def _functions(commands, path=("mcuformer_tflm", "cli")):
    for info in commands.registered_commands:
        yield (*path, info.name or info.callback.__name__), info.callback
    for group in commands.registered_groups:
        yield from _functions(group.typer_instance, (*path, group.name))


def test_each_command_stands_in_a_file_of_its_name():
    functions = dict(_functions(app))
    assert len(functions) == 19
    for path, function in functions.items():
        assert function.__module__ == ".".join(path)


def test_an_option_that_commands_share_stands_once():
    options = defaultdict(list)
    for _, function in _functions(app):
        for name, annotation in inspect.get_annotations(function, eval_str=True).items():
            for option in getattr(annotation, "__metadata__", ()):
                options[name, option.help].append(option)
    assert max(map(len, options.values())) > 3
    for (name, _), same in options.items():
        assert len(set(map(id, same))) == 1, f"{name} is written {len(same)} times"


def test_version_is_that_of_the_package():
    assert _run("--version")[:2] == (0, f"mcuformer {mcuformer_tflm.__version__}\n")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert mcuformer_tflm.__version__ == project["version"]


_WITHOUT_TENSORFLOW = """
import sys
sys.modules.update(tensorflow=None, tf_keras=None, keras_tuner=None)
from mcuformer_tflm.cli import main
main()
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["zoo", "list"],
        ["zoo", "card", "fashion_mnist_16k"],
        ["zoo", "save", "fashion_mnist_16k", "OUT/model.tflite"],
        ["plan", "MODEL", "--picture", "OUT/map.svg"],
        ["verify", "MODEL", "--limit", 1],
        ["firmware", "MODEL", "--out", "OUT/firmware"],
    ],
)
def test_commands_that_train_nothing_run_without_tensorflow(arguments, tmp_path):
    model = model_path("fashion_mnist_16k")
    arguments = [
        str(word).replace("MODEL", str(model)).replace("OUT", str(tmp_path)) for word in arguments
    ]
    status, _, err = _in_a_process(*arguments, program=_WITHOUT_TENSORFLOW)
    assert status == 0, err


_HELP_LOADS = """
import sys
from mcuformer_tflm.cli import app
try:
    app(["--help"])
except SystemExit:
    print(*{name.partition(".")[0] for name in sys.modules})
"""


def test_help_loads_nothing_that_takes_its_time():
    _, out, _ = _in_a_process(program=_HELP_LOADS)
    loaded = set(out.splitlines()[-1].split())
    assert {"typer", "mcuformer_tflm"} <= loaded
    assert not loaded & {"tensorflow", "numpy", "matplotlib", "PIL", "jinja2", "tomlkit"}


@pytest.mark.parametrize("terminal", [True, False])
def test_what_takes_seconds_without_steps_is_told_to_a_terminal_alone(terminal, monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=terminal)
    monkeypatch.setattr("mcuformer_tflm.search.progress._console", lambda: console)
    with waiting("Building [it]"):
        pass
    assert ("Building [it]" in console.file.getvalue()) == terminal


def test_results_go_to_standard_output_and_progress_to_standard_error(capsys):
    with progress_bars() as progress:
        for done in range(1, 5):
            progress("train [32]", done, 4)
    results().print("done")
    out, err = capsys.readouterr()
    assert out == "done\n"
    assert err.splitlines() == [f"train [32]: {done}/4" for done in range(1, 5)]


def test_every_name_of_a_plan_is_whole_in_80_columns(paper_plan):
    plan, graph = paper_plan
    console = Console(width=80, record=True, file=io.StringIO(), markup=False)
    console.print(buffer_table(plan, graph))
    words = console.export_text(clear=True).split()
    assert {buffer.name for buffer in plan.buffers} <= set(words)
    console.print(plan_map(plan, graph, width=console.width))
    text = console.export_text()
    assert {graph.tensors[op.outputs[0]].name for op in graph.operators} <= set(text.split())
    assert all(cell_len(line) <= 80 for line in text.splitlines())


@pytest.fixture(params=["one region", "two regions"])
def paper_plan(request):
    from mcuformer_tflm.bench.memory import paper_architectures

    graph = skeleton_graph(paper_architectures()["paper/f427"])
    if request.param == "one region":
        return plan_memory(graph), graph
    whole = plan_memory(graph).head_bytes
    regions = SramRegion("first", 0, whole - 64), SramRegion("second", 1 << 20, whole)
    plan = plan_memory(graph, Board("small", "cortex-m4", regions, 1 << 20))
    assert plan.num_regions == 2
    return plan, graph


def test_a_pipe_gets_whole_lines_whatever_their_width(monkeypatch, tmp_path):
    monkeypatch.delenv("COLUMNS", raising=False)
    path = tmp_path / ("long" * 30 + ".tflite")
    path.write_bytes(model_path("fashion_mnist_16k").read_bytes())
    status, out, err = _run("plan", path)
    assert status == 0, err
    first = out.splitlines()[0]
    assert first.startswith(f"{path}: ")
    assert "…" not in out
    names = {buffer.name for buffer in read_plan(read_graph(path.read_bytes())).buffers}
    assert names <= set(out.split())


def test_a_card_is_whole_in_80_columns_and_its_own_page_in_a_pipe(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    status, out, _ = _run("zoo", "card", "fashion_mnist_16k")
    card = model_card("fashion_mnist_16k")
    assert (status, out) == (0, card.markdown())
    assert (model_path(card.name).parent / "card.md").read_text() == out
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    status, out, _ = _run("zoo", "card", "fashion_mnist_16k")
    assert status == 0
    lines = re.sub(r"\x1b\[[\d;]*m", "", out).splitlines()
    assert all(cell_len(line) <= 80 for line in lines)
    told = " ".join(lines).split()
    for figures in card.boards.values():
        for value in (figures.instructions, figures.constant_bytes, figures.arena_bytes):
            assert f"{value:,}" in told
    assert set(card.boards) <= set(told)


def test_a_benchmarks_cases_metrics_and_values_are_whole_in_80_columns():
    case, metric = "fully_connected/225x192x768", "processor_seconds_per_subnet"
    notes = ["the paper's accounting, no arena " * 4, "measured in TFLM on this machine (64-bit)"]
    rows = [
        Row("kernels", case, metric, 123456789, "instructions/MAC", "cortex-m4", note)
        for note in (*notes, None, notes[0])
    ]
    console = Console(width=80, record=True, file=io.StringIO(), markup=False)
    console.print(table(rows, "mcuformer bench kernels"))
    text = console.export_text()
    assert all(cell_len(line) <= 80 for line in text.splitlines())
    lines = [line.strip() for line in text.splitlines()]
    assert f"{case}, cortex-m4" in lines
    figures = [line.split() for line in lines if line.startswith(metric)]
    assert figures == [
        [metric, "123,456,789", "instructions/MAC", *note] for note in (["1"], ["2"], [], ["1"])
    ]
    caption = " ".join(lines)
    assert all(f"{n}: {' '.join(note.split())}" in caption for n, note in enumerate(notes, 1))


@pytest.mark.parametrize("name", ["a [/x].tflite", "[bold]b[/bold]", "c :smile: d", "e 'f\" g"])
def test_names_are_told_as_they_are(name, tmp_path, monkeypatch, model_file):
    monkeypatch.chdir(tmp_path)
    status, _, err = _run("plan", name)
    assert (status, err.startswith(f"Error: The model {name} cannot be read")) == (1, True), err
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_bytes(model_file.read_bytes())
    status, out, _ = _run("plan", name, "--picture", f"{name}.svg")
    assert status == 0
    assert f"Memory map drawn to {name}.svg\n" in out
    assert out.startswith(f"{name}: ")


def test_commands_that_are_told_run_as_they_stand_where_a_path_has_blanks(model_file, tmp_path):
    out_folder = tmp_path / "it's a [folder]"
    status, out, err = _run("firmware", model_file, "--out", out_folder)
    assert status == 0, err
    commands = [shlex.split(line) for line in out.splitlines() if line.startswith("  ")]
    assert [words[0] for words in commands] == ["cmake", "cmake", "st-flash"]
    assert commands[0][1:5] == ["-S", str(out_folder), "-B", str(out_folder / "build")]
    assert commands[1][2] == str(out_folder / "build")
    assert commands[2][2] == str(out_folder / "build" / "firmware.bin")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_plan_is_told_to_a_terminal_without_its_characters(encoding, model_file, tmp_path):
    path = tmp_path / "größe.tflite"
    path.write_bytes(model_file.read_bytes())
    status, out, err = _in_a_process("plan", path, PYTHONIOENCODING=encoding)
    assert status == 0, err
    assert ". free  # tensor  = in place  - scratch" in out
    assert "block_0_attention" in out
    status, _, err = _in_a_process("plan", tmp_path / "größer", PYTHONIOENCODING=encoding)
    assert status == 1
    assert err.startswith("Error: The model ")


@pytest.mark.parametrize("command", [["--help"], ["plan", "--help"], ["plan"], ["zoo", "list"]])
def test_help_and_usage_errors_are_told_to_an_ascii_terminal(command):
    status, out, err = _in_a_process(*command, PYTHONIOENCODING="ascii")
    assert status in (0, 2)
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    "arguments",
    [
        ["firmware", "MODEL", "--out", "FILE/firmware"],
        ["firmware", "MODEL", "--out", "/proc/firmware"],
        ["firmware", "MODEL", "--out", "FILE"],
        ["zoo", "save", "fashion_mnist_16k", "FILE/model.tflite"],
        ["zoo", "save", "fashion_mnist_16k", "/dev/full"],
        ["plan", "MODEL", "--picture", "FILE/map.svg"],
        ["plan", "MODEL", "--picture", "/proc/map.png"],
        ["demo", "--out", "FILE/demo"],
        ["search", "--data", "d", "--board", "stm32f427", "--out", "FILE/search"],
        ["bench", "memory", "--json", "FILE/rows.json"],
        ["bench", "search", "--picture", "FILE/path.png"],
        ["zoo", "train", "RECIPE", "--out", "FILE/zoo"],
        ["zoo", "train", "RECIPE", "--work", "/proc/zoo"],
    ],
)
def test_what_cannot_be_written_is_one_line_before_any_work(arguments, model_file, tmp_path):
    places = {
        "MODEL": model_file, "FILE": tmp_path / "file",
        "RECIPE": ROOT / "examples" / "zoo" / "fashion_mnist_16k.toml",
    }  # fmt: skip
    places["FILE"].write_text("a file")
    for name, place in places.items():
        arguments = [word.replace(name, str(place)) for word in arguments]
    status, _, err = _run(*arguments)
    assert status == 1
    assert err.startswith("Error: ")
    assert len(err.splitlines()) == 1
    assert arguments[-1].rsplit("/", 1)[0] in err or arguments[-1] in err


@pytest.mark.parametrize("command", [["emulate", "MODEL"], ["bench", "kernels"]])
def test_missing_extra_is_told_with_the_command_that_installs_it(command, monkeypatch, model_file):
    for name in list(sys.modules):
        if name.split(".")[0] in ("elftools", "unicorn"):
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "elftools", None)
    monkeypatch.setitem(sys.modules, "unicorn", None)
    # A machine that another test has made would work without.
    emulated_machine.cache_clear()
    status, _, err = _run(*(word.replace("MODEL", str(model_file)) for word in command))
    assert status == 1
    assert "pip install 'mcuformer-tflm[emulator]'" in err


def test_every_suite_that_is_named_somewhere_is_one_that_runs():
    texts = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]
    named = {
        word for path in texts for word in re.findall(r"mcuformer bench (\w+)", path.read_text())
    }
    assert "figure3" in named
    told = " ".join(_run("bench", "--help")[1].split())
    assert all(suite in told for suite in SUITES)
    for suite in named | set(SUITES) | set(PICTURED):
        assert suite in SUITES
        module = __import__(f"mcuformer_tflm.bench.{suite}", fromlist=["run"])
        assert callable(module.run)


@pytest.mark.parametrize("suite", ["figure3", "memory"])
def test_bench_prints_and_writes_the_rows_of_its_suite(suite, monkeypatch, tmp_path):
    rows = [Row(suite, "case [/x]", "bytes", 5, "bytes", note="a [note]")]
    module = __import__(f"mcuformer_tflm.bench.{suite}", fromlist=["run"])
    monkeypatch.setattr(module, "run", lambda progress: rows)
    status, out, err = _run("bench", suite, "--json", tmp_path / "new" / "rows.json")
    assert status == 0, err
    assert "case [/x]" in out
    assert "1: a [note]" in out
    (written,) = json.loads((tmp_path / "new" / "rows.json").read_text())
    assert Row(**written) == rows[0]


@pytest.mark.parametrize(
    ("words", "figure"),
    [
        (["plan", "MODEL"], "arena_bytes"),
        (["verify", "MODEL", "--limit", "5"], "int8_top1"),
        (["firmware", "MODEL", "--out", "FOLDER"], "internal_bytes"),
        (["zoo", "list"], "models"),
    ],
)
def test_machines_are_told_figures_and_people_the_rest(words, figure, model_file, tmp_path):
    words = [word.replace("MODEL", str(model_file)) for word in words]
    words = [word.replace("FOLDER", str(tmp_path / "out")) for word in words]
    status, out, err = _run(*words, "--json", "-")
    assert status == 0, err
    told = json.loads(out)
    assert told[figure]
    assert err
    status, plain, _ = _run(*words, "--json", tmp_path / "made" / "told.json")
    assert status == 0
    assert json.loads((tmp_path / "made" / "told.json").read_text()) == told
    assert f"Written to {tmp_path / 'made' / 'told.json'}" in plain


@pytest.mark.parametrize(
    ("command", "recipe", "other"),
    [("train", "baselines/fixed_vit_16k", "baseline"), ("baseline", "fashion_mnist_16k", "train")],
)
def test_zoo_names_the_command_for_the_other_kind_of_recipe(tmp_path, command, recipe, other):
    path = ROOT / "examples" / "zoo" / f"{recipe}.toml"
    status, _, err = _run("zoo", command, path, "--out", tmp_path / "out", "--work", tmp_path)
    assert status == 1
    assert f"run `mcuformer zoo {other}`" in " ".join(err.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["--version"], ["plan", "/nowhere"]])
def test_a_command_ends_whatever_would_hang_at_its_end(words):
    program = """if True:
        import atexit, threading, time
        atexit.register(time.sleep, 1000)
        threading.Thread(target=time.sleep, args=(1000,)).start()
        from mcuformer_tflm.cli import main
        main()"""
    status, out, err = _in_a_process(*words, program=program)
    assert (status, bool(out), bool(err)) == (
        (0, True, False) if len(words) == 1 else (1, False, True)
    )
