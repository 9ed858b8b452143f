"""Measures the firmware of the shipped models anew, as kernels and firmware are today.

    python scripts/measure_cards.py [NAME ...]

Models, weights and every other figure of the cards stay as they are. Nothing is trained; each board
of each card takes about a minute on the emulator.
"""

from __future__ import annotations

import dataclasses
import sys

from mcuformer_tflm.data import load
from mcuformer_tflm.zoo import catalogue as zoo
from mcuformer_tflm.zoo.measurement import board_figures


def main(names: tuple[str, ...]) -> None:
    """Rewrites the cards of these models, or of all."""
    for name in names or zoo.model_names():
        card = zoo.model_card(name)
        model, data = zoo.model_path(name).read_bytes(), load(card.data)
        boards = {board: board_figures(model, board, data) for board in card.boards}
        for board, figures in boards.items():
            print(f"{name}, {board}: {card.boards[board]} -> {figures}", flush=True)
        dataclasses.replace(card, boards=boards).write(zoo.SHIPPED / name)


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))
