"""Labelled images: arrays, folders of class folders, Fashion-MNIST, TensorFlow Datasets, speech.

``load(name)`` reads any of them to memory; ``ImageFolder`` and ``SpeechCommands`` train from files.
Names load on first use; modules below may move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcuformer_tflm.lazy_names import load_on_first_use

if TYPE_CHECKING:
    from mcuformer_tflm.data.fashion_mnist import fashion_mnist
    from mcuformer_tflm.data.folder import ImageFolder, divided
    from mcuformer_tflm.data.image_data import (
        ImageData,
        from_arrays,
        from_npz,
        normalise,
        quantize_images,
    )
    from mcuformer_tflm.data.load import from_folder, load
    from mcuformer_tflm.data.speech_commands import SpeechCommands
    from mcuformer_tflm.data.speech_features import LOG_MEL_98X40, MFCC_49X10, SpeechFeatures
    from mcuformer_tflm.data.tfds import from_tfds

_HOMES = {
    "LOG_MEL_98X40": "speech_features",
    "MFCC_49X10": "speech_features",
    "ImageData": "image_data",
    "ImageFolder": "folder",
    "SpeechCommands": "speech_commands",
    "SpeechFeatures": "speech_features",
    "divided": "folder",
    "fashion_mnist": "fashion_mnist",
    "from_arrays": "image_data",
    "from_folder": "load",
    "from_npz": "image_data",
    "from_tfds": "tfds",
    "load": "load",
    "normalise": "image_data",
    "quantize_images": "image_data",
}

__all__ = [
    "LOG_MEL_98X40",
    "MFCC_49X10",
    "ImageData",
    "ImageFolder",
    "SpeechCommands",
    "SpeechFeatures",
    "divided",
    "fashion_mnist",
    "from_arrays",
    "from_folder",
    "from_npz",
    "from_tfds",
    "load",
    "normalise",
    "quantize_images",
]

load_on_first_use(__name__, _HOMES)
