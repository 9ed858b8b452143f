"""What the results of a search's project came from, kept beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.origin import Origin, array_origin
from mcuformer_tflm.search.resumable_oracle import START_ANEW, check_same_search, write_whole

ORIGIN_FILE = "origin.json"


def validation_origin(validation_data: tuple[Any, Any]) -> Origin:
    """Returns the origin of validation images and classes."""
    images, classes = validation_data
    return {"images": array_origin(images), "classes": array_origin(classes)}


def keep_origin(project: str | Path, origin: Origin) -> None:
    """Writes what a new project's results come from; of an old one, compares it.

    Args:
        project: The project's folder, which workers share.
        origin: Of the data that the search is given.

    Raises:
        ConfigError: If the project's results came from something else, or do not say from what.
    """
    path = Path(project) / ORIGIN_FILE
    if not path.exists():
        if next(Path(project).glob("trial_*"), None) is not None:
            raise ConfigError(
                f"The project in {project} does not say from which data its results came: an "
                f"older version has written it. {START_ANEW.format(project)}"
            )
        write_whole(path, json.dumps(origin, indent=2))
    # Read back where it is new, too: another worker may have been quicker.
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is damaged ({error}). {START_ANEW.format(project)}") from error
    check_same_search(kept, origin, str(project))
