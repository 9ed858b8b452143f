"""The command ``mcuformer zoo card``."""

from __future__ import annotations

from mcuformer_tflm.cli.options import ZooName
from mcuformer_tflm.cli.zoo.page import print_page


def zoo_card(name: ZooName) -> None:
    """Show a model's card, or a supernet's.

    Example: `mcuformer zoo card fashion_mnist_64k`
    """
    from mcuformer_tflm.zoo.catalogue import model_card
    from mcuformer_tflm.zoo.supernets import supernet_card, supernet_names

    card = supernet_card(name) if name in supernet_names() else model_card(name)
    print_page(card.markdown())
