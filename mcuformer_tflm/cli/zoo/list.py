"""The command ``mcuformer zoo list``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rich.table import Table

from mcuformer_tflm.task.terminal import results

if TYPE_CHECKING:
    from mcuformer_tflm.zoo.card import ModelCard


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
    models = groups["Models of the zoo"]
    if models:
        console.print(_firmware_table(models))


def _firmware_table(cards: list[ModelCard]) -> Table:
    boards = list(dict.fromkeys(board for card in cards for board in card.boards or {}))
    table = Table(
        title="One inference of their firmware",
        caption="instructions, the most of any board's, counted on emulated cores; "
        "milliseconds are estimates",
    )
    table.add_column("model", no_wrap=True)
    for name in ("instructions", *(f"ms, {board}" for board in boards)):
        table.add_column(name, justify="right")
    for card in sorted(cards, key=lambda card: (card.arena_budget, card.name)):
        figures = card.boards or {}
        most = max(found.instructions for found in figures.values())
        times = (f"{figures[board].milliseconds_estimated:,.1f}" for board in boards)
        table.add_row(card.name, f"{most:,}", *times)
    return table
