"""What a finished run reports."""

from __future__ import annotations

import dataclasses
import json

from rich.table import Table

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_kinds, checked_path
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.untrusted_files import DAMAGED, read_text
from mcuformer_tflm.keras_models.whole_file import write_whole

REPORT_FILE = "report.json"
MODEL_FILE = "model.tflite"


@dataclasses.dataclass(frozen=True)
class Report:
    """Figures of one model; shares are 0 to 1, sizes are bytes.

    Attributes:
        board: The board's name.
        architecture: The network, as JSON.
        test_images: Number of images behind the accuracies.
        float_top1: Accuracy of the float network.
        int8_top1: Accuracy of the int8 model in TFLM.
        agreement: Share of images on which the two choose the same class.
        arena_bytes: TFLM's arena on a Cortex-M under our planner, computed.
        arena_bytes_host: Smallest arena in which TFLM opens the model on this machine, 64-bit.
        head_bytes: Activations and scratch, the part that the memory plan places.
        head_lower_bound_bytes: No plan of the head can be smaller.
        flash_bytes: Size of the ``.tflite``.
        eq5_bytes: The paper's memory figure (Eq. 5), which is no measured memory.
        sram_budget_bytes: SRAM of the board, all its banks, or the limit given.
        flash_budget_bytes: Flash of the board less our operators' code.
        seconds: Duration of the run.
        seed: Of all random choices.
        instructions_estimated: Of one inference of the firmware; None where the board's core is
            not known.
        milliseconds_estimated: Likewise, at the board's clock; None where that is not known.
        milliseconds_budget: The limit given, or None.
        data: Name of the data set, where it was given by one.
        supernet: The trained supernet that was specialised, if one was given.
        minutes: Those that the run was planned for, if it was.
        left_out: What more of them would have allowed, in words.
    """

    board: str
    architecture: str
    test_images: int
    float_top1: float
    int8_top1: float
    agreement: float
    arena_bytes: int
    arena_bytes_host: int
    head_bytes: int
    head_lower_bound_bytes: int
    flash_bytes: int
    eq5_bytes: int
    sram_budget_bytes: int
    flash_budget_bytes: int
    seconds: float
    seed: int
    _: dataclasses.KW_ONLY
    instructions_estimated: int | None = None
    milliseconds_estimated: float | None = None
    milliseconds_budget: float | None = None
    data: str | None = None
    supernet: str | None = None
    minutes: float | None = None
    left_out: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: AnyPath) -> Report:
        """Reads what ``write`` has written.

        Raises:
            ConfigError: If the file cannot be read, or a field is missing, unknown or of another
                kind.
        """
        path = checked_path("path", path)
        try:
            fields = json.loads(read_text(path))
            left_out = tuple(map(str, fields.get("left_out", ())))
            return checked_kinds(cls(**{**fields, "left_out": left_out}))
        except DAMAGED as error:
            raise ConfigError(f"{path} is no report of a run ({error}).") from error

    def write(self, path: AnyPath) -> None:
        """Writes the report as JSON.

        Raises:
            ConfigError: If it cannot be written.
        """
        write_whole(path, json.dumps(dataclasses.asdict(self), indent=2) + "\n")

    def table(self) -> Table:
        """Returns the report for a terminal."""
        table = Table(title=f"MCUFormer on {self.board}, {self.test_images:,} test images")
        table.add_column("what")
        table.add_column("value", justify="right")
        table.add_column("budget", justify="right")
        table.add_row("float accuracy (tf_keras)", f"{self.float_top1:.2%}", "")
        table.add_row("int8 accuracy (TFLM interpreter)", f"{self.int8_top1:.2%}", "")
        table.add_row("agreement of the two", f"{self.agreement:.2%}", "")
        sram, flash = f"{self.sram_budget_bytes:,}", f"{self.flash_budget_bytes:,}"
        table.add_row("arena in TFLM, Cortex-M (computed)", f"{self.arena_bytes:,}", sram)
        table.add_row("arena in TFLM, this machine (measured)", f"{self.arena_bytes_host:,}", "")
        table.add_row("  of either the planned head", f"{self.head_bytes:,}", "")
        table.add_row("flash bytes (.tflite)", f"{self.flash_bytes:,}", flash)
        if self.instructions_estimated is not None:
            instructions = f"{self.instructions_estimated:,}"
            table.add_row("instructions of an inference (estimate)", instructions, "")
        if self.milliseconds_estimated is not None:
            limit = "" if self.milliseconds_budget is None else f"{self.milliseconds_budget:,g}"
            milliseconds = f"{self.milliseconds_estimated:,.1f}"
            table.add_row("milliseconds of an inference (estimate)", milliseconds, limit)
        table.add_row("Eq. 5 of the paper (its own accounting)", f"{self.eq5_bytes:,}", "")
        limit = "" if self.minutes is None else f"{60 * self.minutes:.0f}"
        table.add_row("seconds", f"{self.seconds:.0f}", limit)
        if self.left_out:
            table.caption = f"More minutes would allow: {'; '.join(self.left_out)}."
        return table
