"""A small data set of spoken words in the layout of Speech Commands, made by espeak-ng.

    python examples/make_spoken_words.py build/words --speakers 60

Every speaker is a voice, a variant, a speed and a pitch drawn by the seed, and says each word
once. The speech is synthetic: what a network makes of it says nothing about people.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import shutil
import subprocess
import sys
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.progress import track

RATE = 16_000
WORDS = "yes,no,up,down,left,right,on,off,stop,go,bed,bird,cat,dog,happy,house,one,two,tree,wow"
VOICES = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd")
VARIANTS = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "f5")


def main() -> None:
    """Writes the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--words", default=WORDS, help="separated by commas")
    parser.add_argument("--speakers", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if shutil.which("espeak-ng") is None:
        sys.exit("espeak-ng is not installed. Run `apt-get install espeak-ng` (Debian).")
    words = arguments.words.split(",")
    for number in track(range(arguments.speakers), "speakers"):
        speak(arguments.folder, words, arguments.seed, number)
    rng = np.random.default_rng(arguments.seed)
    for name, exponent in (("white_noise", 0), ("pink_noise", 1), ("brown_noise", 2)):
        sound = coloured_noise(10 * RATE, exponent, rng)
        write(arguments.folder / "_background_noise_" / f"{name}.wav", sound)


def speak(folder: Path, words: Sequence[str], seed: int, number: int) -> None:
    """Writes all words of one speaker."""
    rng = np.random.default_rng([seed, number])
    voice = f"{rng.choice(VOICES)}+{rng.choice(VARIANTS)}"
    speed, pitch = int(rng.integers(120, 200)), int(rng.integers(20, 81))
    name = hashlib.sha256(f"{seed} {number}".encode()).hexdigest()[:8]
    for word in words:
        second = spoken(word, voice, speed, pitch, rng)
        write(folder / word / f"{name}_nohash_0.wav", second)


def spoken(word: str, voice: str, speed: int, pitch: int, rng: np.random.Generator) -> np.ndarray:
    """Returns one second at 16 kHz, the word somewhere in it, as loud as chance has it."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", word]
    output = subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    # To a pipe, espeak-ng writes a header with lengths that it cannot know yet.
    with wave.open(io.BytesIO(output.stdout), "rb") as file:
        rate = file.getframerate()
        sound = np.frombuffer(output.stdout[44:], "<i2") / 2**15
    sound = resampled(sound, rate)
    loud = np.flatnonzero(np.abs(sound) > 0.02)
    sound = sound[loud[0] : loud[-1] + 1][:RATE]
    second = np.zeros(RATE)
    start = rng.integers(0, RATE - len(sound) + 1)
    second[start : start + len(sound)] = sound * rng.uniform(0.3, 0.9) / np.abs(sound).max()
    return second + rng.normal(0, 10 ** rng.uniform(-4, -2.5), RATE)


def resampled(sound: np.ndarray, rate: int) -> np.ndarray:
    """Returns a sound at 16 kHz: its spectrum up to 8 kHz."""
    length = round(len(sound) * RATE / rate)
    spectrum = np.fft.rfft(sound)[: length // 2 + 1]
    return np.fft.irfft(spectrum, length) * length / len(sound)


def coloured_noise(length: int, exponent: float, rng: np.random.Generator) -> np.ndarray:
    """Returns noise whose power falls with the frequency to the power of the exponent."""
    spectrum = np.fft.rfft(rng.normal(size=length))
    spectrum /= np.maximum(np.arange(len(spectrum)), 1) ** (exponent / 2)
    noise = np.fft.irfft(spectrum, length)
    return 0.5 * noise / np.abs(noise).max()


def write(path: Path, sound: np.ndarray) -> None:
    """Writes 16-bit samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(np.round(np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())


if __name__ == "__main__":
    main()
