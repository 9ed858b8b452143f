"""The trained supernets that are shipped with the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.zoo.catalogue import CARD_FILE, check_digest, model_names
from mcuformer_tflm.zoo.supernet_card import SupernetCard

if TYPE_CHECKING:
    from mcuformer_tflm.search.trained_supernet import TrainedSupernet

SUPERNET_FILE = "supernet.npz"
SUPERNETS = Path(__file__).parent / "supernets"


def supernet_names(folder: AnyPath = SUPERNETS) -> tuple[str, ...]:
    """Returns the names of the supernets in a folder, by default the shipped ones."""
    return model_names(folder)


def supernet_card(name: str, folder: AnyPath = SUPERNETS) -> SupernetCard:
    """Returns a supernet's card.

    Raises:
        ConfigError: If there is no supernet of that name.
        ModelError: If the card is damaged, or does not belong to the file beside it.
    """
    folder = checked_path("folder", folder)
    if name not in supernet_names(folder):
        known = ", ".join(supernet_names(folder)) or "none"
        raise ConfigError(f"There is no supernet {name!r} in the zoo; there are {known}.")
    card = SupernetCard.read(folder / name / CARD_FILE)
    check_digest(folder / name / SUPERNET_FILE, card.sha256)
    return card


def trained_supernet(name_or_path: AnyPath, folder: AnyPath = SUPERNETS) -> TrainedSupernet:
    """Returns a supernet of the zoo by its name, or one from a file.

    Args:
        name_or_path: One of ``supernet_names()``, or the path of a file that
            ``mcuformer zoo supernet`` or ``TrainedSupernet.save`` has written.
        folder: Where those with names lie.

    Raises:
        ConfigError: If there is neither a supernet nor a file of that name.
        CheckpointError: If the file is damaged, or no trained supernet.
        ModelError: If a shipped file is not the one that its card was made for.
    """
    # Not above: it loads TensorFlow.
    from mcuformer_tflm.search.trained_supernet import TrainedSupernet

    path = checked_path("name_or_path", name_or_path)
    folder = checked_path("folder", folder)
    name = str(name_or_path)
    if name in supernet_names(folder):
        supernet_card(name, folder)
        path = folder / name / SUPERNET_FILE
    elif not path.is_file():
        known = ", ".join(supernet_names(folder)) or "none"
        raise ConfigError(
            f"supernet is {name!r}; it must be one of the zoo's ({known}), or a file "
            "that `mcuformer zoo supernet` has written."
        )
    return TrainedSupernet.read(path)
