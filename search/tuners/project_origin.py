"""What the results of a search's project came from, kept beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.training.origin import Origin, array_origin, as_json, differences
from mcuformer_tflm.keras_models.untrusted_files import read_text
from mcuformer_tflm.keras_models.whole_file import write_whole
from mcuformer_tflm.search.oracles.resumable_oracle import START_ANEW

ORIGIN_FILE = "origin.json"
_RESULTS = ("trial_*", "supernets/*")


def validation_origin(validation_data: tuple[Any, Any]) -> Origin:
    """Returns the origin of validation images and classes."""
    images, classes = validation_data
    return {"images": array_origin(images), "classes": array_origin(classes)}


def keep_origin(folder: str | Path, origin: Mapping[str, Any], begun: bool, advice: str) -> None:
    """Writes what a folder's results will come from; where that is written, compares it.

    Args:
        folder: Holds the results; workers may share it.
        origin: Of what they are made from now.
        begun: Whether it holds results already.
        advice: What to do where they came from something else.

    Raises:
        ConfigError: If the results came from something else, or do not say from what.
    """
    path = Path(folder) / ORIGIN_FILE
    if not path.exists():
        if begun:
            raise ConfigError(
                f"{folder} does not say from what its results came: an older version has written "
                f"them. {advice}"
            )
        write_whole(path, as_json(origin, indent=2))
    # Read back where it is new, too: another worker may have been quicker.
    try:
        kept = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is damaged ({error}). {advice}") from error
    different = differences(kept, origin)
    if different:
        raise ConfigError(
            f"The results in {folder} came from something else: {'; '.join(different)}. {advice}"
        )


def keep_project_origin(project: str | Path, origin: Mapping[str, Any]) -> None:
    """As ``keep_origin``, for a tuner's project."""
    begun = any(True for kept in _RESULTS for _ in Path(project).glob(kept))
    keep_origin(project, origin, begun, START_ANEW.format(project))
