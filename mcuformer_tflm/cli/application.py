"""All commands as one: what is common to their start and to their end."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from mcuformer_tflm.cli.bench import bench
from mcuformer_tflm.cli.convert import convert
from mcuformer_tflm.cli.demo import demo
from mcuformer_tflm.cli.doctor import doctor
from mcuformer_tflm.cli.emulate import emulate
from mcuformer_tflm.cli.firmware import firmware
from mcuformer_tflm.cli.plan import plan
from mcuformer_tflm.cli.profile import profile
from mcuformer_tflm.cli.quantize import quantize
from mcuformer_tflm.cli.quiet_tensorflow import quieten_tensorflow
from mcuformer_tflm.cli.report import report
from mcuformer_tflm.cli.search import search
from mcuformer_tflm.cli.train import train
from mcuformer_tflm.cli.verify import verify
from mcuformer_tflm.cli.zoo import zoo
from mcuformer_tflm.keras_models.exceptions import McuformerError
from mcuformer_tflm.lazy_names import missing_half
from mcuformer_tflm.task.terminal import print_anything, print_error, results


class Commands(TyperGroup):
    """All commands; what goes wrong in one ends it with one paragraph and status 1."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was asked for."""
        print_anything()
        quieten_tensorflow()
        try:
            return super().invoke(ctx)
        except McuformerError as error:
            if ctx.params["debug"]:
                raise
            print_error(str(error))
        except ModuleNotFoundError as error:
            told = missing_half(error)
            if told is None or ctx.params["debug"]:
                raise
            print_error(told)
        except OSError as error:
            # Whoever reads has gone, which is no fault.
            if error.errno == errno.EPIPE or ctx.params["debug"]:
                raise
            print_error(_os_error(error))
        raise typer.Exit(1)


app = typer.Typer(
    cls=Commands,
    help="Vision transformers on microcontrollers: search, quantize, convert, run in TFLM.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for command in (
    demo, search, train, quantize, convert, plan, verify, firmware, emulate, profile, report, bench,
    doctor,
):  # fmt: skip
    app.command()(command)
app.add_typer(zoo, name="zoo")


def _os_error(error: OSError) -> str:
    places = [str(name) for name in (error.filename, error.filename2) if name is not None]
    reason = error.strerror or str(error)
    return f"{' to '.join(places) or 'A file'} cannot be read or written ({reason})."


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
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error was raised, as Python tells it.")
    ] = False,
) -> None:
    """Vision transformers on microcontrollers: search, quantize, convert, run in TFLM."""


def main() -> NoReturn:
    """Runs the command, and ends the process at once with its status.

    What a library leaves to be taken down when Python ends may hang there: TensorFlow has, in a
    destructor of ``tf.data``. By then all is written, and nothing is left that must be.
    """
    status: int = 1
    try:
        app()
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # whoever reads has gone
            stream.flush()
    os._exit(status)
