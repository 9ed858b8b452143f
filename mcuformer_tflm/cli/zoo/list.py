"""The command ``mcuformer zoo list``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from rich.table import Table

from mcuformer_tflm.cli.options import JsonFile
from mcuformer_tflm.cli.outputs import Figures

if TYPE_CHECKING:
    from mcuformer_tflm.zoo.card import ModelCard
    from mcuformer_tflm.zoo.supernet_card import SupernetCard


def zoo_list(json_file: JsonFile = None) -> None:
    """List the shipped models, and the networks to compare them with, as they were measured.

    Example: `mcuformer zoo list`
    """
    from mcuformer_tflm.zoo.catalogue import BASELINES, model_cards
    from mcuformer_tflm.zoo.supernets import supernet_card, supernet_names

    groups = {
        "Models of the zoo": list(model_cards().values()),
        "Baselines": list(model_cards(BASELINES).values()),
    }
    figures = Figures(json_file)
    console = figures.console
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
    supernets = [supernet_card(name) for name in supernet_names()]
    if supernets:
        console.print(_supernet_table(supernets))
    figures.tell(
        {
            "models": [card.to_dict() for card in groups["Models of the zoo"]],
            "baselines": [card.to_dict() for card in groups["Baselines"]],
            "supernets": [dataclasses.asdict(card) for card in supernets],
        }
    )


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


def _supernet_table(cards: list[SupernetCard]) -> Table:
    table = Table(
        title="Supernets, for `mcuformer search --supernet`",
        caption="top-1 on held-out images in float, nothing trained on; predicted arena in TFLM, "
        "Cortex-M, in bytes",
    )
    table.add_column("supernet", no_wrap=True)
    for name in ("networks", "smallest", "random", "largest", "arenas"):
        table.add_column(name, justify="right")
    for card in cards:
        least, most = card.arena_bytes
        table.add_row(
            card.name, f"{card.subnets:,}", f"{card.smallest_top1:.2%}",
            f"{card.random_top1:.2%}", f"{card.largest_top1:.2%}", f"{least:,} to {most:,}",
        )  # fmt: skip
    return table
