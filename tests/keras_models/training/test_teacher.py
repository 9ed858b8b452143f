"""The convolutional network that transformers learn from."""

import numpy as np
import pytest

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.training.teacher import convolutional_teacher


def test_teacher_takes_images_that_are_not_square_and_gives_a_logit_a_class():
    teacher = convolutional_teacher((7, 12), 2, 5, width=3)
    assert teacher(np.zeros((4, 7, 12, 2), np.float32)).shape == (4, 5)
    channels = [layer.filters for layer in teacher.layers if hasattr(layer, "filters")]
    assert channels == [3, 6, 6, 6, 12, 12, 12]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 0}, "image_size is 0"),
        ({"channels": 0}, "channels is 0"),
        ({"num_classes": 1.5}, "num_classes is 1.5"),
        ({"width": -1}, "width is -1"),
    ],
)
def test_what_is_no_number_of_pixels_or_channels_is_refused(change, message):
    given = {"image_size": 8, "channels": 1, "num_classes": 3, "width": 2}
    with pytest.raises(ConfigError, match=message):
        convolutional_teacher(**{**given, **change})
