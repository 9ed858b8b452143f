"""The command ``mcuformer zoo card``."""

from __future__ import annotations

from mcuformer_tflm.cli.options import ZooName
from mcuformer_tflm.cli.zoo.page import print_page


def zoo_card(name: ZooName) -> None:
    """Show a model's card.

    Example: `mcuformer zoo card fashion_mnist_64k`
    """
    from mcuformer_tflm.zoo.catalogue import model_card

    print_page(model_card(name).markdown())
