"""The commands ``mcuformer zoo``: a module each."""

from __future__ import annotations

import typer

from mcuformer_tflm.cli.zoo.baseline import zoo_baseline
from mcuformer_tflm.cli.zoo.card import zoo_card
from mcuformer_tflm.cli.zoo.list import zoo_list
from mcuformer_tflm.cli.zoo.save import zoo_save
from mcuformer_tflm.cli.zoo.supernet import zoo_supernet
from mcuformer_tflm.cli.zoo.train import zoo_train

zoo = typer.Typer(
    help="Trained models that are shipped, and how they are made.", no_args_is_help=True
)
zoo.command("list")(zoo_list)
zoo.command("card")(zoo_card)
zoo.command("save")(zoo_save)
zoo.command("train")(zoo_train)
zoo.command("baseline")(zoo_baseline)
zoo.command("supernet")(zoo_supernet)
