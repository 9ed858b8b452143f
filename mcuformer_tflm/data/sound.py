"""One sound from a file, as speech features read it."""

from __future__ import annotations

import wave

import numpy as np

from mcuformer_tflm.keras_models.checked_values import AnyPath
from mcuformer_tflm.keras_models.untrusted_files import MOST_SOUND_BYTES, open_file

SAMPLE_RATE = 16_000


def read_wav(path: AnyPath) -> np.ndarray:
    """Returns float32[samples] in [-1, 1).

    Raises:
        OSError: If it cannot be read, is no regular file, or too large.
        ValueError: If it is damaged, cut short, another kind of sound, or holds no sample.
    """
    with open_file(path, MOST_SOUND_BYTES) as file:
        try:
            with wave.open(file, "rb") as sound:
                form = sound.getframerate(), sound.getnchannels(), 8 * sound.getsampwidth()
                count = sound.getnframes()
                content = sound.readframes(count) if form == (SAMPLE_RATE, 1, 16) else b""
        # The module raises whatever the sizes of damaged chunks lead it to.
        except Exception as error:
            raise ValueError(f"it is no sound that can be read: {error}") from error
    if form != (SAMPLE_RATE, 1, 16):
        raise ValueError(
            f"it has {form[0]} samples a second, {form[1]} channels and {form[2]} bits; "
            f"{SAMPLE_RATE}, 1 and 16 are needed"
        )
    if len(content) != 2 * count:
        raise ValueError(f"it ends after {len(content) // 2} of {count} samples")
    if not content:
        # Not silence: nothing was heard.
        raise ValueError("it holds no sample")
    return np.frombuffer(content, "<i2").astype(np.float32) / 2**15
