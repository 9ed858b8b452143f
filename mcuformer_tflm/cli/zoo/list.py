"""The command ``mcuformer zoo list``."""

from __future__ import annotations

from typing import Literal

from rich.table import Table

from mcuformer_tflm.task.terminal import results


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
