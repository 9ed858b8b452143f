"""The models and baselines that are shipped with the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import ConfigError, ModelError
from mcuformer_tflm.zoo.card import ModelCard, digest

if TYPE_CHECKING:
    import tf_keras

MODEL_FILE = "model.tflite"
FLOAT_FILE = "float.npz"
CARD_FILE = "card.json"
SHIPPED = Path(__file__).parent / "models"
BASELINES = Path(__file__).parent / "baselines"


def model_names(folder: AnyPath = SHIPPED) -> tuple[str, ...]:
    """Returns the names of the models in a folder, by default the shipped ones."""
    folder = checked_path("folder", folder)
    return tuple(sorted(path.parent.name for path in folder.glob(f"*/{CARD_FILE}")))


def model_path(name: str, folder: AnyPath = SHIPPED) -> Path:
    """Returns where a model's ``.tflite`` lies, for ``MicroInterpreter``.

    Raises:
        ConfigError: If there is no model of that name.
    """
    folder = checked_path("folder", folder)
    if name not in model_names(folder):
        known = ", ".join(model_names(folder)) or "none"
        raise ConfigError(f"There is no model {name!r} in the zoo; there are {known}.")
    return folder / name / MODEL_FILE


def model_card(name: str, folder: AnyPath = SHIPPED) -> ModelCard:
    """Returns a model's card.

    Raises:
        ConfigError: If there is no model of that name.
        ModelError: If the card is damaged, or does not belong to the file beside it.
    """
    path = model_path(name, folder)
    card = ModelCard.read(path.with_name(CARD_FILE))
    check_digest(path, card.sha256)
    return card


def check_digest(path: AnyPath, sha256: str) -> None:
    """Checks that a shipped file is the one that its card was made for.

    Raises:
        ModelError: If it is another one, or cannot be read.
    """
    path = checked_path("path", path)
    try:
        found = digest(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}).") from error
    if sha256 != found:
        raise ModelError(f"{path} is not the file that its card was made for; reinstall it.")


def model_cards(folder: AnyPath = SHIPPED) -> dict[str, ModelCard]:
    """Returns the cards of the models in a folder by name, checked as ``model_card`` does.

    Raises:
        ModelError: If a card is damaged, or does not belong to the file beside it.
    """
    return {name: model_card(name, folder) for name in model_names(folder)}


def float_model(name: str, folder: AnyPath = SHIPPED) -> tf_keras.Model:
    """Returns the float network that a model was quantized from, its weights in 16 bits.

    Raises:
        ConfigError: If there is no model of that name.
        ModelError: If its card is damaged.
        CheckpointError: If its weights are missing or damaged.
    """
    # Not above: it loads TensorFlow, which those who only look at models do without.
    from mcuformer_tflm.zoo.network import load_network, network_of

    path = model_path(name, folder)
    card = ModelCard.read(path.with_name(CARD_FILE))
    return load_network(network_of(card.network), path.with_name(FLOAT_FILE))
