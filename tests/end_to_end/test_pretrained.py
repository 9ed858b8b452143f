"""A checkpoint of others, read and converted, answers in TFLM as it did where it came from."""

import numpy as np
from safetensors.numpy import save_file
from vit_checkpoint import sigmoid_gelu, vit_logits

from mcuformer_tflm import MicroInterpreter, convert, load_vit, normalise, quantize_images
from mcuformer_tflm.bench.models import random_vit


def test_a_checkpoint_answers_in_tflm_as_the_published_network_does(tmp_path):
    tensors = random_vit(depth=1, classes=4)
    save_file(tensors, tmp_path / "vit.safetensors")
    images = np.random.default_rng(0).integers(0, 256, (64, 12, 12, 3), np.uint8)
    subnet = load_vit(tmp_path / "vit.safetensors")
    quantized = subnet.quantized_copy([normalise(images)])
    answers = MicroInterpreter(convert(quantized, tuple("abcd"))).run(quantize_images(images))
    expected = vit_logits(tensors, images, 1, gelu=sigmoid_gelu)
    for ours, theirs in zip(answers.T, expected.T, strict=True):
        assert np.corrcoef(ours, theirs)[0, 1] > 0.99
