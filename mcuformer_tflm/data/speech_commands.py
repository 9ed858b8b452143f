"""Spoken words in the layout of the Speech Commands data set."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import logging
import os
import posixpath
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import tensorflow as tf

from mcuformer_tflm.data.class_folders import (
    class_files,
    find_classes,
    visible_files,
    warn_of_empty_classes,
)
from mcuformer_tflm.data.image_data import ImageData, checked_labels
from mcuformer_tflm.data.sound import SAMPLE_RATE, read_wav
from mcuformer_tflm.data.speech_features import MFCC_49X10, SpeechFeatures
from mcuformer_tflm.keras_models.checked_values import (
    AnyPath,
    checked_choice,
    checked_path,
    checked_real,
    checked_seed,
    checked_type,
    checked_whole,
    entries,
)
from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError, DataWarning
from mcuformer_tflm.keras_models.image_network import as_floats
from mcuformer_tflm.keras_models.training.batches import augmented, check_mixup
from mcuformer_tflm.keras_models.training.origin import Origin, array_origin, files_origin
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.untrusted_files import read_text

Part = Literal["training", "validation", "testing"]

# The words of the usual task; all others together are one more class.
KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
UNKNOWN, SILENCE = "unknown", "silence"
_EXTRAS = (UNKNOWN, SILENCE)
_SUFFIXES = frozenset({".wav"})
_BACKGROUND_FOLDER = "_background_noise_"
_LISTS: dict[Part, str] = {"validation": "validation_list.txt", "testing": "testing_list.txt"}
# The data set's own rule for who is held out: a speaker's hash on a scale of this many steps.
_HASH_STEPS = 2**27 - 1
_HELD_OUT_PERCENT = 10
# Augmentation as TensorFlow's example for this data set has it.
_LARGEST_SHIFT = SAMPLE_RATE // 10
_NOISY_SHARE, _LOUDEST_NOISE = 0.8, 0.1
_logger = logging.getLogger(__name__)


class SpeechCommands:
    """Training batches from ``folder/<word>/<speaker>_nohash_<n>.wav``.

    Files are 16-bit mono at 16 kHz; one second of each is used, silence added behind shorter
    ones. ``validation_list.txt`` and ``testing_list.txt`` say what is held out, a file a line;
    without either, a hash of the speaker does, so that nobody's voice is in two parts. Words that
    are not asked for are the class "unknown", stretches of ``_background_noise_`` are "silence"; of
    each there are a tenth as many as of the words, drawn anew every epoch. Folders ``unknown`` and
    ``silence`` are no words: their files belong to the classes of those names, those of ``silence``
    before stretches of noise.

    In training, sound is moved by up to 100 ms and mixed with background noise. All of it
    depends on seed and epoch alone. A file that cannot be read, or holds no sample, is reported
    once, and left out. A ``DataWarning`` tells of files that are passed over, of lines of the lists
    that name no file, and of classes without an example in a part.

    Args:
        folder: Holds one folder a word.
        batch_size: Examples a batch; a rest is left out.
        features: What the network sees of a second.
        words: The classes; by default those of ``KEYWORDS`` that have a folder, or else all. None
            is "unknown" or "silence", which need no asking for.
        seed: Of all choices, together with the epoch.
        recipe: How pictures are augmented besides.
        extra_share: Unknown words as a share of the words, and silence likewise.

    Attributes:
        labels: Class names by index: the words, then "unknown" and "silence" where there are
            other words and background noise, or folders of those names.
        num_classes: Their number.
        image_size: Height and width of the pictures.
        skipped: What was wrong with each file that could not be read, by path.

    Raises:
        ConfigError: If a size is out of range, or a word has no folder, is twice among ``words``,
            or is the name of another class.
        DataError: If there are no words, one has no file, a list cannot be read, the folder holds
            parts such as ``train`` and ``test``, or there are fewer examples than one batch.
    """

    def __init__(
        self,
        folder: AnyPath,
        batch_size: int,
        *,
        features: SpeechFeatures = MFCC_49X10,
        words: Sequence[str] | None = None,
        seed: int = 0,
        recipe: TrainingRecipe | None = None,
        extra_share: float = 0.1,
    ) -> None:
        """Lists the folder; only background noise is read."""
        folder = checked_path("folder", folder)
        batch_size = checked_whole("batch_size", batch_size)
        seed = checked_seed(seed)
        checked_type("features", features, SpeechFeatures)
        extra_share = checked_real("extra_share", extra_share, high=1)
        if recipe is not None:
            checked_type("recipe", recipe, TrainingRecipe)
        if words is not None:
            words = entries(words)
            if not words or not all(isinstance(word, str) for word in words):
                raise ConfigError("words is no list of names; give some of the folders' names.")
        found = [name for name in find_classes(folder) if not name.startswith("_")]
        if words is None:
            spoken = [word for word in found if word not in _EXTRAS]
            words = [word for word in KEYWORDS if word in spoken] or spoken
        for word in words:
            if word in _EXTRAS:
                raise ConfigError(
                    f"words has {word!r}, which is no word but a class besides; leave it out. The "
                    f"files of {folder / word} belong to it where extra_share is above 0."
                )
            if word not in found:
                raise ConfigError(
                    f"words has {word!r}, but {folder} has no such folder; it has "
                    f"{', '.join(found) or 'none at all'}."
                )
            if list(words).count(word) > 1:
                raise ConfigError(f"words has {word!r} more than once; a word is one class.")
        self.folder = folder
        self.skipped: dict[str, str] = {}
        self._content: Origin = {}
        files = class_files(folder, found, suffixes=_SUFFIXES)
        lists = _read_lists(folder, files)
        self._words = _divided(folder, [files[word] for word in words], lists)
        others = [word for word in found if word not in words and word != SILENCE]
        pools = {UNKNOWN: others, SILENCE: [SILENCE] if SILENCE in found else []}
        self._extra_files = {
            label: _divided(folder, [files[word] for word in pool if extra_share], lists)
            for label, pool in pools.items()
        }
        paths = visible_files(folder / _BACKGROUND_FOLDER, _SUFFIXES) if extra_share else []
        sounds = [self._read(path) for path in paths]
        self._background = [
            np.resize(sound, max(len(sound), SAMPLE_RATE + 1))
            for sound in sounds if sound is not None
        ]  # fmt: skip
        silent = self._background or any(self._extra_files[SILENCE].values())
        names = [
            *words,
            *([UNKNOWN] if any(self._extra_files[UNKNOWN].values()) else []),
            *([SILENCE] if silent else []),
        ]
        self.labels = checked_labels(str(folder), names)
        self.num_classes = len(self.labels)
        check_mixup(recipe, self.num_classes)
        self.features = features
        # Traced once for all epochs and parts.
        self._show = tf.function(
            features, input_signature=[tf.TensorSpec([SAMPLE_RATE], tf.float32)]
        )
        self.image_size = features.image_size
        self.recipe = recipe or TrainingRecipe()
        self.batch_size = batch_size
        self.seed = seed
        self.extra_share = extra_share
        count = self._count("training")
        if not self._words["training"]:
            raise DataError(
                f"{folder} holds no words to train on; it must hold one folder for each, as "
                f"{folder}/yes/<speaker>_nohash_0.wav."
            )
        mute = [word for word in words if not files[word]]
        if mute:
            raise DataError(
                f"{folder} holds no file of {', '.join(mute)}; add some, or leave the word out. "
                f"Read are {', '.join(sorted(_SUFFIXES))}."
            )
        for part in get_args(Part):
            heard = {label for _, label in self._draw(part, np.random.default_rng(0))}
            warn_of_empty_classes(f"The {part} part of {folder}", self.labels, heard)
        if count < batch_size:
            raise DataError(
                f"{folder} holds {count} examples for training, fewer than one batch of "
                f"{batch_size}; give more or a smaller batch_size."
            )

    def __len__(self) -> int:
        """Batches an epoch, if every file can be read; fewer come where some cannot."""
        return self._count("training") // self.batch_size

    def origin(self) -> Origin:
        """Returns what an epoch follows from; all its sounds are read once, to be hashed."""
        if not self._content:
            extras = (parts["training"] for parts in self._extra_files.values())
            heard = list(itertools.chain(self._words["training"], *extras))
            names = [os.path.relpath(path, self.folder) for path, _ in heard]
            self._content = {
                "sounds": files_origin(self.folder, names),
                "classes": array_origin(np.array([index for _, index in heard], np.int32)),
                "background": [array_origin(sound) for sound in self._background],
                "labels": list(self.labels),
            }
        return {
            **self._content,
            "features": dataclasses.asdict(self.features),
            "extra_share": self.extra_share,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "augmentation": self.recipe.augmentation,
        }

    def epoch(self, epoch: int) -> tf.data.Dataset:
        """Returns the batches of one epoch, counted from 0."""
        rng = np.random.default_rng([self.seed, epoch])
        examples = self._draw("training", rng)
        examples = [examples[place] for place in rng.permutation(len(examples))]
        paths, classes = zip(*examples, strict=True)

        def hear(place: np.ndarray) -> tuple[np.ndarray, np.bool_]:
            rng = np.random.default_rng([self.seed, epoch, int(place)])
            sound = self._hear(paths[place], rng, augment=True)
            silence = np.zeros(SAMPLE_RATE, np.float32)
            return silence if sound is None else sound, np.bool_(sound is not None)

        def show(place: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            sound, intact = tf.numpy_function(hear, [place], (tf.float32, tf.bool))
            picture = self._show(tf.ensure_shape(sound, [SAMPLE_RATE]))
            return as_floats(picture), label, tf.ensure_shape(intact, [])

        places = np.arange(len(paths))
        data = tf.data.Dataset.from_tensor_slices((places, np.array(classes, np.int32)))
        data = data.map(show, tf.data.AUTOTUNE, deterministic=True)
        data = data.filter(lambda picture, label, intact: intact)
        data = data.map(lambda picture, label, intact: (picture, label))
        return augmented(data, self.recipe, self.batch_size, self.num_classes, self.seed, epoch)

    def arrays(self, part: Part, limit: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Reads a part to memory, without augmentation.

        Args:
            part: ``"training"``, ``"validation"`` or ``"testing"``.
            limit: At most so many examples, drawn evenly by the seed.

        Returns:
            uint8[n, height, width, 1], and their classes, int32[n].

        Raises:
            ConfigError: If there is no such part.
            DataError: If it is empty, or no file of it can be read.
        """
        checked_choice("part", part, get_args(Part))
        rng = np.random.default_rng(self.seed)
        examples = self._draw(part, rng)
        chosen = rng.permutation(len(examples))[:limit]
        pictures, classes = [], []
        for place in chosen:
            path, label = examples[place]
            place_rng = np.random.default_rng([self.seed, int(place)])
            sound = self._hear(path, place_rng, augment=False)
            if sound is not None:
                pictures.append(self._show(sound).numpy())
                classes.append(label)
        if not pictures:
            raise DataError(
                f"{self.folder} holds nothing for {part} that can be read: {len(examples)} files, "
                f"{len(self.skipped)} skipped. Give more speakers, or name the files that are "
                f"held out in {' and '.join(_LISTS.values())}."
            )
        return np.stack(pictures), np.array(classes, np.int32)

    def image_data(self) -> ImageData:
        """Returns everything in memory: training and testing parts, not augmented."""
        return ImageData(
            self.folder.name, self.labels, *self.arrays("training"), *self.arrays("testing")
        )

    def _extras(self, part: Part) -> int:
        return max(1, round(self.extra_share * len(self._words[part])))

    def _count(self, part: Part) -> int:
        return len(self._draw(part, np.random.default_rng(0)))

    def _draw(self, part: Part, rng: np.random.Generator) -> list[tuple[Path | None, int]]:
        # Path, or None for a stretch of noise, and class.
        examples: list[tuple[Path | None, int]] = list(self._words[part])
        extras = self._extras(part)
        for label, parts in self._extra_files.items():
            paths: list[Path | None] = [path for path, _ in parts[part]]
            chosen = [paths[place] for place in rng.permutation(len(paths))[:extras]]
            if label == SILENCE and self._background:
                chosen += [None] * (extras - len(chosen))
            examples += [(path, self.labels.index(label)) for path in chosen]
        return examples

    def _hear(
        self, path: Path | None, rng: np.random.Generator, augment: bool
    ) -> np.ndarray | None:
        if path is None:
            return rng.uniform() * self._noise(rng)
        sound = self._read(path)
        if sound is None:
            return None
        second = np.zeros(SAMPLE_RATE, np.float32)
        second[: len(sound)] = sound[:SAMPLE_RATE]
        if not augment:
            return second
        shift = int(rng.integers(-_LARGEST_SHIFT, _LARGEST_SHIFT + 1))
        second = np.roll(second, shift)
        second[slice(0, shift) if shift >= 0 else slice(shift, None)] = 0
        if self._background and rng.uniform() < _NOISY_SHARE:
            second += rng.uniform(0, _LOUDEST_NOISE) * self._noise(rng)
        return np.clip(second, -1, 1).astype(np.float32)

    def _noise(self, rng: np.random.Generator) -> np.ndarray:
        sound = self._background[rng.integers(len(self._background))]
        start = int(rng.integers(len(sound) - SAMPLE_RATE))
        return sound[start : start + SAMPLE_RATE].astype(np.float32)

    def _read(self, path: Path) -> np.ndarray | None:
        try:
            return read_wav(path)
        except (OSError, ValueError) as error:
            if str(path) not in self.skipped:
                self.skipped[str(path)] = str(error)
                _logger.warning("Skipped sound %d: %s (%s)", len(self.skipped), path, error)
            return None


def _read_lists(
    folder: Path, files: Mapping[str, Sequence[Path]]
) -> dict[Part, frozenset[str] | None]:
    lists: dict[Part, frozenset[str] | None] = {}
    there = {path.relative_to(folder).as_posix() for paths in files.values() for path in paths}
    for part, name in _LISTS.items():
        path = folder / name
        lists[part] = None
        if path.is_file():
            lists[part] = names = _listed(path)
            missing = sorted(names - there)
            if missing:
                warnings.warn(
                    f"{path} names {len(missing)} files that are not in {folder}, such as "
                    f"{', '.join(missing[:3])}.",
                    DataWarning,
                    stacklevel=1,
                )
    return lists


def _listed(path: Path) -> frozenset[str]:
    """Returns the files that a list names, as paths in the folder with slashes."""
    try:
        # Editors put a byte order mark first.
        lines = read_text(path, encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no list in UTF-8 that can be read ({error}).") from error
    entries = (line.strip().replace("\\", "/") for line in lines)
    return frozenset(posixpath.normpath(entry) for entry in entries if entry)


def _divided(
    folder: Path,
    words: Iterable[Sequence[Path]],
    lists: dict[Part, frozenset[str] | None],
) -> dict[Part, list[tuple[Path, int]]]:
    parts: dict[Part, list[tuple[Path, int]]] = {part: [] for part in get_args(Part)}
    for index, paths in enumerate(words):
        for path in paths:
            parts[_part_of(path.relative_to(folder).as_posix(), lists)].append((path, index))
    return parts


def _part_of(name: str, lists: dict[Part, frozenset[str] | None]) -> Part:
    if any(names is not None for names in lists.values()):
        return next((part for part, names in lists.items() if names and name in names), "training")
    speaker = re.sub(r"_nohash_.*$", "", name.split("/")[-1])
    digest = int(hashlib.sha1(speaker.encode(), usedforsecurity=False).hexdigest(), 16)
    percent = digest % (_HASH_STEPS + 1) * 100 / _HASH_STEPS
    if percent < _HELD_OUT_PERCENT:
        return "validation"
    return "testing" if percent < 2 * _HELD_OUT_PERCENT else "training"
