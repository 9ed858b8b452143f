import dataclasses

import numpy as np
import pytest
from vit_checkpoint import exact_gelu, sigmoid_gelu, vit_logits

from mcuformer_tflm import normalise
from mcuformer_tflm.bench.models import deit_tiny_architecture, random_vit
from mcuformer_tflm.bench.pretrained import gelu_rows, read_random

TINY = dataclasses.replace(
    deit_tiny_architecture(), image_size=8, patch_size=4, num_classes=5, head_dim=8, embed_dim=16,
    num_heads=(2,), mlp_ratio=(3.0,),
)  # fmt: skip


def test_the_price_of_the_sigmoid_gelu_is_that_of_the_two_networks_in_float64():
    subnet = read_random(TINY)
    assert subnet.architecture == TINY
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    rows = {row.metric: row.value for row in gelu_rows("tiny", subnet, normalise(images))}
    tensors = random_vit(width=16, depth=1, hidden=48, side=2)
    ours, exact = (vit_logits(tensors, images, 2, gelu=gelu) for gelu in (sigmoid_gelu, exact_gelu))
    apart = np.linalg.norm(ours - exact) / np.linalg.norm(exact)
    assert rows["logits_from_exact_gelu"] == pytest.approx(apart, rel=1e-2)
    x = np.linspace(-4, 4, 8001)
    greatest = np.abs(sigmoid_gelu(x) - exact_gelu(x)).max()
    assert rows["largest_difference"] == pytest.approx(greatest, rel=1e-4)
