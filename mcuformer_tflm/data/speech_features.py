"""What a network sees of one second of sound: a picture of time by frequency."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from mcuformer_tflm.data.sound import SAMPLE_RATE

_MEL_BINS = 40
# Energy that silence is taken to have, so that its logarithm is finite.
_FLOOR = 1e-6
# Natural logarithms of energies lie between that of the floor, -13.8, and that of a full-scale
# sine, which is (amplitude * window / 4)^2: about 10.
_LOG_CENTRE, _LOG_SPAN = -2.0, 12.0
# What the first coefficient is of equal logarithms; and a reach that the second seldom leaves,
# while later ones, k, are smaller by about the root of k.
_FIRST_COEFFICIENT = 2 * _MEL_BINS / (2 * _MEL_BINS) ** 0.5
_COEFFICIENT_SPAN = 40.0


@dataclasses.dataclass(frozen=True)
class SpeechFeatures:
    """Log-mel energies, or mel-frequency cepstral coefficients, as bytes.

    ``byte = 128 + round(128 * (feature - centre) / span)``, cut to 0 to 255, with the fixed
    centres and spans of ``scaling``: nothing is measured on the training set, so that a device
    needs no other constants than these. The network gets (byte - 128) / 128, its input int8
    byte - 128, as with images.

    Of one second at 16 kHz in [-1, 1): frames under a periodic Hann window, squared magnitudes
    of their Fourier transform, weighed by 40 triangles evenly spaced on the mel scale
    (``tf.signal.linear_to_mel_weight_matrix``), natural logarithm of the sum plus 1e-6.
    Coefficients are those of ``tf.signal.mfccs_from_log_mel_spectrograms``, the first ones.

    Attributes:
        window: Samples of a frame.
        stride: Samples from one frame to the next.
        lowest: Lower edge of the first triangle, in Hz.
        highest: Upper edge of the last triangle, in Hz.
        coefficients: Cepstral coefficients; None gives the log-mel energies themselves.
    """

    window: int
    stride: int
    lowest: float
    highest: float
    _: dataclasses.KW_ONLY
    coefficients: int | None = None

    @property
    def image_size(self) -> tuple[int, int]:
        """Frames and values of each, which are the height and width of the picture."""
        return 1 + (SAMPLE_RATE - self.window) // self.stride, self.coefficients or _MEL_BINS

    @property
    def scaling(self) -> tuple[np.ndarray, np.ndarray]:
        """Centre and span of each value of a frame, float32[width] each."""
        width = self.image_size[1]
        centre, span = np.full(width, _LOG_CENTRE), np.full(width, _LOG_SPAN)
        if self.coefficients is not None:
            centre = np.zeros(width)
            span = _COEFFICIENT_SPAN / np.sqrt(np.maximum(np.arange(width), 1))
            centre[0], span[0] = (_FIRST_COEFFICIENT * x for x in (_LOG_CENTRE, _LOG_SPAN))
        return centre.astype(np.float32), span.astype(np.float32)

    def __call__(self, waveforms: tf.Tensor) -> tf.Tensor:
        """Returns uint8[..., height, width, 1] of float32[..., 16000] in [-1, 1)."""
        centre, span = self.scaling
        bytes_ = tf.round(128 + 128 * (self.values(waveforms) - centre) / span)
        return tf.cast(tf.clip_by_value(bytes_, 0, 255), tf.uint8)[..., None]

    def values(self, waveforms: tf.Tensor) -> tf.Tensor:
        """Returns the features before they become bytes, float32[..., height, width]."""
        length = 1 << (self.window - 1).bit_length()
        spectrum = tf.signal.stft(waveforms, self.window, self.stride, length)
        energies = tf.square(tf.abs(spectrum))
        weights = _mel_weights(length, self.lowest, self.highest)
        logarithms = tf.math.log(tf.tensordot(energies, weights, 1) + _FLOOR)
        if self.coefficients is None:
            return logarithms
        cepstrum = tf.signal.mfccs_from_log_mel_spectrograms(logarithms)
        return cepstrum[..., : self.coefficients]


@functools.cache
def _mel_weights(length: int, lowest: float, highest: float) -> np.ndarray:
    with tf.init_scope():
        return tf.signal.linear_to_mel_weight_matrix(
            _MEL_BINS, length // 2 + 1, SAMPLE_RATE, lowest, highest
        ).numpy()


# Windows of 40 ms every 20 ms: what Zhang et al., Hello Edge, 2017, feed to microcontrollers.
MFCC_49X10 = SpeechFeatures(640, 320, 20, 4000, coefficients=10)
# Windows of 30 ms every 10 ms.
LOG_MEL_98X40 = SpeechFeatures(480, 160, 20, 7600)
# By the size of their pictures.
FEATURES = {"49x10": MFCC_49X10, "98x40": LOG_MEL_98X40}
