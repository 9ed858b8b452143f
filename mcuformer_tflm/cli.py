"""The command ``mcuformer``."""

from __future__ import annotations

import errno
import logging
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table
from typer.core import TyperGroup

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
logging.getLogger("tensorflow").setLevel(logging.ERROR)

from mcuformer_tflm.bench import PICTURED, SUITES  # noqa: E402
from mcuformer_tflm.keras_models.exceptions import (  # noqa: E402
    ConfigError,
    EmulatorError,
    McuformerError,
)
from mcuformer_tflm.terminal import print_anything, print_error, results  # noqa: E402


class Commands(TyperGroup):
    """All commands; what goes wrong in one ends it with one paragraph and status 1."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was asked for."""
        print_anything()
        try:
            return super().invoke(ctx)
        except McuformerError as error:
            print_error(str(error))
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever reads has gone, which is no fault
                raise
            print_error(_os_error(error))
        raise typer.Exit(1)


app = typer.Typer(
    cls=Commands,
    help="Vision transformers on microcontrollers: search, quantize, convert, run in TFLM.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
zoo = typer.Typer(
    help="Trained models that are shipped, and how they are made.", no_args_is_help=True
)
app.add_typer(zoo, name="zoo")

Board = Annotated[str, typer.Option(help="stm32f427, stm32f746, stm32f746-discovery or stm32h743.")]
Model = Annotated[Path, typer.Argument(help="A .tflite that mcuformer has written.")]
Data = Annotated[
    str,
    typer.Option(
        help="The data set: fashion-mnist, speech-commands:FOLDER, images-96x96x1:FOLDER, "
        "tfds:NAME, or an .npz file."
    ),
]
Work = Annotated[
    Path, typer.Option(help="Folder of the training's state; an interrupted run goes on.")
]
ZooName = Annotated[str, typer.Argument(help="A model's name, as `mcuformer zoo list` tells it.")]
DataFolder = Annotated[
    Path | None, typer.Option(help="Folder of its files, if not the Debian package's.")
]


def _os_error(error: OSError) -> str:
    places = [str(name) for name in (error.filename, error.filename2) if name is not None]
    reason = error.strerror or str(error)
    return f"{' to '.join(places) or 'A file'} cannot be read or written ({reason})."


@contextmanager
def _written(path: Path) -> Iterator[None]:
    # The system's error may name a file beside it, or none.
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}).") from error


def _writable(folder: Path) -> None:
    # Told before hours of work, not after.
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"{folder} cannot be written to; give another folder.")


def _picture(path: Path | None) -> None:
    if path is not None and path.suffix not in (".png", ".svg"):
        raise ConfigError(f"--picture is {path}; the name must end in .png or .svg.")


def _version(asked: bool) -> None:
    if asked:
        from mcuformer_tflm import __version__

        results().print(f"mcuformer {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Tell the version."),
    ] = False,
) -> None:
    """Vision transformers on microcontrollers: search, quantize, convert, run in TFLM."""


def _import_tensorflow_quietly() -> None:
    # Its C++ side writes a page about CUDA to descriptor 2 before it reads its log level. An
    # import that fails raises and is told as ever.
    saved = os.dup(2)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        finally:
            os.dup2(saved, 2)
            os.close(saved)


@app.command()
def demo(
    board: Board = "stm32f746",
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("build/demo"),
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Seed of all random choices.")
    ] = 0,
    sram_kib: Annotated[
        int | None, typer.Option(min=1, help="Limit the arena to fewer KiB than the board has.")
    ] = None,
    weight_bits: Annotated[int, typer.Option(help="Bits of the blocks' weights: 4 or 8.")] = 8,
    residual_bits: Annotated[int, typer.Option(help="Bits of the residual stream: 8 or 16.")] = 8,
    data_folder: DataFolder = None,
) -> None:
    """Search, train, quantize, convert and run a model on Fashion-MNIST.

    Example: `mcuformer demo --board stm32f427 --out build/demo`
    """
    from mcuformer_tflm.data.fashion_mnist import fashion_mnist
    from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
    from mcuformer_tflm.search.board import get_board
    from mcuformer_tflm.search.cost.budget import Budget

    quantization = QuantizationConfig(weight_bits=weight_bits, residual_bits=residual_bits)
    arena = None if sram_kib is None else sram_kib * 1024
    budget = Budget.of_board(get_board(board), arena, quantization=quantization)
    data = fashion_mnist(data_folder)
    _writable(out)
    console = results()
    console.print(f"Fashion-MNIST for {budget}, seed {seed}")
    _import_tensorflow_quietly()
    from mcuformer_tflm.search.progress import progress_bars
    from mcuformer_tflm.task.demo import run_demo

    with progress_bars() as progress:
        report = run_demo(data, budget, out, progress, seed)
    console.print(report.table())
    console.print(
        f"Written to {out}: model.tflite, report.json, memory_map.png, sqnr.png", soft_wrap=True
    )


@app.command()
def plan(
    model: Model,
    board: Board = "stm32f746",
    picture: Annotated[
        Path | None, typer.Option(help="Draw the memory map to this .png or .svg.")
    ] = None,
) -> None:
    """Show where each buffer of a model lies in the arena, and whether a board holds it.

    Example: `mcuformer plan build/demo/model.tflite --board stm32f427 --picture map.svg`
    """
    from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
    from mcuformer_tflm.plan.picture import draw_plan
    from mcuformer_tflm.plan.planner import plan_memory, read_plan
    from mcuformer_tflm.plan.schedule import describe_schedule
    from mcuformer_tflm.plan.terminal import buffer_table, plan_map
    from mcuformer_tflm.runtime.micro_interpreter import read_our_graph
    from mcuformer_tflm.search.board import get_board

    target = get_board(board)
    _picture(picture)
    graph = read_our_graph(model)
    memory_map = read_plan(graph)
    console = results()
    console.print(f"{model}: {memory_map.head_bytes:,} bytes of head in the arena", soft_wrap=True)
    console.print(buffer_table(memory_map, graph))
    console.print(describe_schedule(graph))
    console.print(
        plan_map(memory_map, graph, width=console.width, ascii_only=console.options.ascii_only)
    )
    arena = cortex_m_arena_bytes(graph, memory_map)
    console.print(
        f"Lower bound of the head: {memory_map.lower_bound:,} bytes, {memory_map.gap_percent:.2f} "
        f"% below the plan. Arena in TFLM, Cortex-M (computed): {arena:,} bytes; under TFLM's own "
        f"planner {cortex_m_arena_bytes(graph, memory_map, planner='tflm'):,}."
    )
    if picture is not None:
        draw_plan(memory_map, picture, title=str(model), budget=target.arena_budget)
        console.print(f"Memory map drawn to {picture}", soft_wrap=True)
    # Told last, since an error ends the command: the operators that need most, a larger board.
    tail = arena - memory_map.head_bytes
    on_board = plan_memory(graph, target, reserve=tail)
    regions = "its first region" if on_board.num_regions == 1 else "a plan over its regions"
    console.print(f"It fits {target.name} ({target.sram:,} bytes of SRAM) in {regions}.")


@app.command()
def verify(
    model: Model,
    data: Data = "fashion-mnist",
    data_folder: DataFolder = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only so many test images.")] = None,
) -> None:
    """Run a model over a test set in TFLM and print its accuracy, from the file alone.

    Example: `mcuformer verify build/demo/model.tflite --data fashion-mnist`
    """
    from mcuformer_tflm import data as datasets
    from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
    from mcuformer_tflm.search.progress import progress_bars

    loaded = datasets.load(data, data_folder)
    interpreter = MicroInterpreter(model)
    if interpreter.labels != loaded.labels:
        raise ConfigError(
            f"The model's labels ({', '.join(interpreter.labels)}) are not those of {data} "
            f"({', '.join(loaded.labels)}); give the data set that it was trained on."
        )
    images, classes = loaded.test_images[:limit], loaded.test_classes[:limit]
    with progress_bars() as progress:
        logits = interpreter.run(
            datasets.quantize_images(images),
            lambda done, total: progress("classify in TFLM", done, total),
        )
    hits = int((logits.argmax(-1) == classes).sum())
    results().print(f"int8 accuracy in TFLM: {hits / len(classes):.2%} ({hits} of {len(classes)})")


@app.command()
def firmware(
    model: Model,
    out: Annotated[Path, typer.Option(help="Folder of the project.")],
    board: Board = "stm32f746",
) -> None:
    """Write a model as a self-contained C++ project for a board, without an interpreter.

    Example: `mcuformer firmware build/demo/model.tflite --board stm32f746 --out build/firmware`
    """
    from mcuformer_tflm.firmware.project import export_firmware
    from mcuformer_tflm.search.board import get_board

    target = get_board(board)
    with _written(out):
        placement = export_firmware(model, target, out)
    console = results()
    console.print(
        f"Firmware for {target.name} written to {out}: an arena of {placement.arena_bytes:,} "
        f"bytes, {placement.internal_bytes:,} bytes of constants in internal flash, "
        f"{placement.external_bytes:,} in external flash. Build and flash it:",
        soft_wrap=True,
    )
    toolchain = "-DCMAKE_TOOLCHAIN_FILE=arm-none-eabi.cmake"
    build = out / "build"
    for command in (
        ["cmake", "-S", out, "-B", build, toolchain],
        ["cmake", "--build", build],
        ["st-flash", "write", build / "firmware.bin", "0x08000000"],
    ):
        console.print(f"  {shlex.join(map(str, command))}", soft_wrap=True)
    if placement.external_bytes:
        console.print("External flash is written by OpenOCD: docs/firmware.md, Flash and run.")


@app.command()
def emulate(
    model: Model,
    board: Board = "stm32f746",
    data: Data = "fashion-mnist",
    data_folder: DataFolder = None,
    limit: Annotated[int, typer.Option(min=1, help="Use so many test images.")] = 50,
) -> None:
    """Run a model's firmware on an emulated Cortex-M and compare it with TFLM, byte for byte.

    The core is QEMU's; lengths of RAM and flash, and the guards around them, are the board's.

    Example: `mcuformer emulate build/demo/model.tflite --board stm32f427`
    """
    from mcuformer_tflm import data as datasets
    from mcuformer_tflm.emulator.qemu import MACHINES
    from mcuformer_tflm.firmware.emulation import emulate_firmware
    from mcuformer_tflm.search.board import get_board

    target = get_board(board)
    pictures = datasets.quantize_images(datasets.load(data, data_folder).test_images[:limit])
    found = emulate_firmware(model, target, pictures)
    image, run, total = found.image, found.run, len(found.expected)
    results().print(
        f"{target.name} emulated ({MACHINES[target.core]}, {target.core}): {found.equal} of "
        f"{total} images give TFLM's bytes. Code {image.code_bytes:,}, constants "
        f"{image.constant_bytes:,}, arena of the firmware {image.arena_bytes:,}, stack of the "
        f"whole program {run.stack_bytes:,} bytes.",
        soft_wrap=True,
    )
    if found.equal != total:
        raise EmulatorError("The firmware's answers differ from TFLM's; please report the model.")


@app.command()
def bench(
    suite: Annotated[str, typer.Argument(help=f"One of {', '.join(SUITES)}.")],
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the rows to this file too.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help=f"Draw to this .png or .svg; {' and '.join(PICTURED)} do.")
    ] = None,
    minutes: Annotated[
        float, typer.Option(help="Begin nothing more after so many (search only).")
    ] = 25.0,
) -> None:
    """Run a benchmark and print its figures.

    Example: `mcuformer bench kernels --json build/kernels.json`
    """
    import importlib

    if suite not in SUITES:
        raise ConfigError(f"There is no benchmark {suite!r}; there are {', '.join(SUITES)}.")
    _picture(picture)
    if picture is not None and suite not in PICTURED:
        raise ConfigError(
            f"--picture is {picture}; {suite} draws none, {' and '.join(PICTURED)} do."
        )
    if not minutes > 0:
        raise ConfigError(f"--minutes is {minutes}; it must be above 0.")
    for path in (json_file, picture):
        if path is not None:
            _writable(path.parent)
    _import_tensorflow_quietly()
    from mcuformer_tflm.bench.rows import table, write_rows
    from mcuformer_tflm.search.progress import progress_bars

    module = importlib.import_module(f"mcuformer_tflm.bench.{suite}")
    options = {"minutes": minutes, "picture": picture} if suite == "search" else {}
    with progress_bars() as progress:
        rows = module.run(progress, **options)
    console = results()
    console.print(table(rows, f"mcuformer bench {suite}"))
    if json_file is not None:
        write_rows(rows, json_file)
        console.print(f"Written to {json_file}", soft_wrap=True)
    if picture is not None:
        if hasattr(module, "draw"):
            module.draw(rows, picture)
        console.print(f"Drawn to {picture}", soft_wrap=True)


@zoo.command("list")
def zoo_list() -> None:
    """List the shipped models, and the networks to compare them with, as they were measured.

    Example: `mcuformer zoo list`
    """
    from mcuformer_tflm.zoo.catalogue import BASELINES, model_cards

    groups = {
        "Models of the zoo": list(model_cards().values()),
        "Baselines": list(model_cards(BASELINES).values()),
    }
    console = results()
    for title, cards in groups.items():
        if not cards:
            continue
        data = ", ".join(sorted({card.data for card in cards}))
        # As wide as a terminal of 80 columns.
        table = Table(
            title=title,
            caption=f"top-1 on {data}; bytes: arena in TFLM, Cortex-M; flash of the .tflite",
        )
        for column in ("model", "float", "int8", "arena", "flash", "MACs"):
            justify: Literal["left", "right"] = "left" if column == "model" else "right"
            table.add_column(column, justify=justify, no_wrap=True)
        for card in sorted(cards, key=lambda card: (card.arena_budget, card.name)):
            table.add_row(
                card.name, f"{card.float_top1:.2%}", f"{card.int8_top1:.2%}",
                f"{card.arena_bytes:,}", f"{card.flash_bytes:,}", f"{card.macs:,}",
            )  # fmt: skip
        console.print(table)


@zoo.command("card")
def zoo_card(name: ZooName) -> None:
    """Show a model's card.

    Example: `mcuformer zoo card fashion_mnist_64k`
    """
    from mcuformer_tflm.zoo.catalogue import model_card

    _print_page(model_card(name).markdown())


@zoo.command("save")
def zoo_save(
    name: ZooName, out: Annotated[Path, typer.Argument(help="The .tflite to write.")]
) -> None:
    """Copy a model's file, ready for `plan`, `firmware` and `emulate`.

    Example: `mcuformer zoo save fashion_mnist_64k build/model.tflite`
    """
    from mcuformer_tflm.zoo.catalogue import model_card, model_path

    model_card(name)  # is the file the one that was measured?
    content = model_path(name).read_bytes()
    with _written(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(content)
    results().print(f"{name} written to {out}: {len(content):,} bytes", soft_wrap=True)


@zoo.command("train")
def zoo_train(
    recipe: Annotated[Path, typer.Argument(help="A recipe, such as those in examples/zoo.")],
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("build/zoo"),
    work: Work = Path("build/zoo/work"),
    data_folder: DataFolder = None,
) -> None:
    """Make a model from its recipe: train, quantize, convert, measure. Takes hours on two cores.

    Example: `mcuformer zoo train examples/zoo/fashion_mnist_64k.toml`
    """
    _import_tensorflow_quietly()
    from mcuformer_tflm import data as datasets
    from mcuformer_tflm.search.progress import progress_bars
    from mcuformer_tflm.zoo.making import make_model
    from mcuformer_tflm.zoo.recipe import ZooRecipe

    wanted = ZooRecipe.read(recipe)
    if wanted.like is not None:
        raise ConfigError(f"{recipe} is the recipe of a baseline; run `mcuformer zoo baseline`.")
    data = datasets.load(wanted.data, data_folder)
    _writable(out)
    _writable(work)
    with progress_bars() as progress:
        card = make_model(wanted, data, out, work, progress)
    _print_page(card.markdown())
    results().print(f"Written to {out / wanted.name}", soft_wrap=True)


@zoo.command("baseline")
def zoo_baseline(
    recipe: Annotated[Path, typer.Argument(help="One of examples/zoo/baselines, or the like.")],
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("build/zoo/baselines"),
    work: Work = Path("build/zoo/work"),
    data_folder: DataFolder = None,
) -> None:
    """Make another network as a model of the zoo is made, to compare with. Takes hours.

    Example: `mcuformer zoo baseline examples/zoo/baselines/depthwise_cnn_64k.toml`
    """
    _import_tensorflow_quietly()
    from mcuformer_tflm import data as datasets
    from mcuformer_tflm.search.progress import progress_bars
    from mcuformer_tflm.zoo.making import make_model
    from mcuformer_tflm.zoo.recipe import ZooRecipe

    wanted = ZooRecipe.read(recipe)
    if wanted.like is None:
        raise ConfigError(f"{recipe} is the recipe of a model; run `mcuformer zoo train`.")
    data = datasets.load(wanted.data, data_folder)
    _writable(out)
    _writable(work)
    with progress_bars() as progress:
        card = make_model(wanted, data, out, work, progress)
    console = results()
    console.print_json(data=card.to_dict())
    console.print(f"Written to {out / wanted.name}", soft_wrap=True)


def _print_page(markdown: str) -> None:
    console = results()
    if not console.is_terminal:
        print(markdown, end="")
        return
    from rich.markdown import Markdown

    console.print(Markdown(markdown))


def main() -> None:
    """Runs the command."""
    app()


if __name__ == "__main__":
    main()
