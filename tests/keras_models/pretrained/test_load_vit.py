"""A network that load_vit reads is the one that was trained elsewhere."""

import re

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from vit_checkpoint import exact_gelu, sigmoid_gelu, vit_logits

from mcuformer_tflm import CheckpointError, ConfigError, load_vit, normalise
from mcuformer_tflm.bench.models import random_vit
from mcuformer_tflm.keras_models.pretrained import vit

HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
DEIT = random_vit()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (3, 12, 12, 3), np.uint8)


@pytest.fixture(scope="module")
def save(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")

    def save(tensors, name="vit.safetensors"):
        save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()},
                  folder / name)  # fmt: skip
        return folder / name

    return save


@pytest.fixture(scope="module")
def deit(save):
    """The plain network, at the checkpoint's own sizes."""
    return load_vit(save(DEIT))


def logits(subnet, images):
    return subnet(images if images.dtype != np.uint8 else normalise(images)).numpy()


def weights(subnet):
    return {weight.name: weight.numpy() for weight in subnet.trainable_weights}


@pytest.mark.parametrize(
    ("parts", "num_heads", "pixels"),
    [
        ({}, None, ()),
        ({"layer_scale": True, "class_position": False}, 4, ()),  # as DeiT III
        ({"class_token": False, "channels": 1, "depth": 1}, 2, ((0.2,), (0.7,))),
        ({"depth": 1, "hidden": 40}, 1, HALVES),
    ],
    ids=["deit", "deit_3", "mean_of_tokens", "vit"],
)
def test_float_network_equals_the_published_one_in_float64(parts, num_heads, pixels, save, images):
    tensors = random_vit(2, **parts)
    normal = dict(zip(("mean", "std"), pixels, strict=False))
    images = images[..., : parts.get("channels", 3)]
    subnet = load_vit(save(tensors), num_heads=num_heads, **normal)
    expected = vit_logits(tensors, images, num_heads or 1, gelu=sigmoid_gelu, **normal)
    np.testing.assert_allclose(logits(subnet, images), expected, atol=1e-4)
    exact = vit_logits(tensors, images, num_heads or 1, gelu=exact_gelu, **normal)
    assert 1e-3 < np.abs(exact - expected).max() < 0.2, "the other GELU is seen, and is near"


def test_sizes_come_from_the_tensors(deit):
    arch = deit.architecture
    assert (arch.image_size, arch.patch_size, arch.channels, arch.num_classes) == (12, 4, 3, 5)
    assert (arch.embed_dim, arch.head_dim, arch.num_heads) == (64, 64, (1, 1))
    assert arch.hidden_dim(0) == 96
    assert (arch.pooling, arch.rank_ratio) == ("class_token", None)


def test_an_npz_file_gives_the_same_network(deit, images, tmp_path):
    np.savez(tmp_path / "vit", **DEIT)
    np.testing.assert_array_equal(
        logits(load_vit(str(tmp_path / "vit.npz")), images), logits(deit, images)
    )


def test_larger_patches_give_the_same_logits_for_patches_that_are_resized(save, deit, images):
    larger = load_vit(save(DEIT), patch_size=7, image_size=21)
    pieces = normalise(images).reshape(3, 3, 4, 3, 4, 3).transpose(0, 1, 3, 2, 4, 5)
    pieces = tf.image.resize(pieces.reshape(27, 4, 4, 3), (7, 7)).numpy()
    enlarged = pieces.reshape(3, 3, 3, 7, 7, 3).transpose(0, 1, 3, 2, 4, 5).reshape(3, 21, 21, 3)
    np.testing.assert_allclose(logits(larger, enlarged), logits(deit, images), atol=1e-4)


def test_another_image_size_changes_the_patches_positions_alone(save, deit):
    wide = load_vit(save(DEIT), image_size=(8, 20))
    assert wide.architecture.image_size == (8, 20)
    ours, other = weights(deit), weights(wide)
    assert {n for n in ours if not np.array_equal(ours[n], other[n])} == {"patch_embed/position:0"}
    assert other["patch_embed/position:0"].shape == (2 * 5, 64)


def test_the_border_of_an_image_that_is_no_multiple_is_grey_128(save, deit, images):
    cropped = load_vit(save(DEIT), image_size=10)
    bordered = np.full_like(images, 128)
    bordered[:, 1:11, 1:11] = images[:, 1:11, 1:11]
    np.testing.assert_allclose(
        logits(cropped, images[:, 1:11, 1:11]), logits(deit, bordered), atol=1e-5
    )


def test_a_head_of_another_class_count_is_fresh_and_follows_from_the_seed(save, deit):
    path = save(DEIT)
    tf_keras.utils.set_random_seed(7)
    first, other = load_vit(path, num_classes=4), load_vit(path, num_classes=4, seed=1)
    without = load_vit(save(random_vit(head=False)), num_classes=4)
    head = [network.get_layer("head").kernel.numpy() for network in (first, without, other)]
    assert head[0].shape == (64, 4)
    np.testing.assert_array_equal(head[0], head[1])
    assert np.abs(head[0] - head[2]).max() > 0.01
    assert 0.05 < head[0].std() < 0.5
    ours, kept = weights(deit), weights(first)
    assert all(np.array_equal(ours[n], kept[n]) for n in ours if not n.startswith("head/"))


def test_a_head_of_as_many_classes_is_kept(save, deit):
    same = load_vit(save(DEIT), num_classes=5, seed=3)
    np.testing.assert_array_equal(same.get_layer("head").kernel, deit.get_layer("head").kernel)


@pytest.fixture
def unbuilt(monkeypatch):
    """Refused before a network is built."""
    monkeypatch.setattr(vit, "build_subnet", lambda _: pytest.fail("a network is built"))


def _with(**parts):
    return {**DEIT, **{name.replace("__", "."): part for name, part in parts.items()}}


def _without(*names):
    return {name: tensor for name, tensor in DEIT.items() if name not in names}


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        (_without("norm.bias"), r"lacks norm\.bias\. Give a plain DeiT or ViT"),
        (
            _without(*(name for name in DEIT if name.startswith("blocks.0.norm"))),
            r"lacks blocks\.0\.norm1\.weight, blocks\.0\.norm1\.bias, blocks\.0\.norm2\.weight "
            r"and 1 more\. ",
        ),
        (_with(reg_token=DEIT["cls_token"]), r"also holds reg_token\. "),
        (
            {name.replace("blocks.", "encoder."): tensor for name, tensor in DEIT.items()},
            r"lacks blocks\.0\S+, \S+, \S+ and 9 more, and also holds encoder\S+, \S+, \S+ and 21 "
            r"more\. .*timm\.create_model",
        ),
        ({"x": np.ones(3)}, r"lacks patch_embed\.proj\.weight, .* and also holds x\. "),
        (_without("cls_token"), r"lacks cls_token\."),
        (_without("head.weight"), r"lacks head\.weight\."),
        (_with(blocks__0__ls1__gamma=np.ones(64)), r"lacks blocks\.0\.ls2\.gamma, blocks\.1\."),
        (_with(dist_token=DEIT["cls_token"]), r"holds dist_token: it is of a distilled DeiT"),
        (_with(head_dist__bias=np.ones(5)), r"holds head_dist: it is of a distilled DeiT"),
        (_with(fc_norm__bias=np.ones(64)), r"holds fc_norm: .*normalises after the mean"),
        (
            _with(blocks__1__attn__qkv__weight=np.ones((64, 192))),
            r"blocks\.1\.attn\.qkv\.weight \[64, 192\] instead of \[192, 64\]\. It is damaged",
        ),
        (
            _with(**{f"blocks__{n}__norm{m}__bias": np.ones(8) for n in (0, 1) for m in (1, 2)}),
            r"blocks\.0\.norm1\.bias \[8\] instead of \[64\], blocks\.0\.norm2\.bias \[8\] instead "
            r"of \[64\], blocks\.1\.norm1\.bias \[8\] instead of \[64\] and 1 more\.",
        ),
        (_with(patch_embed__proj__weight=np.ones((64, 48))), r"proj\.weight \[64, 48\] instead of"),
        (_with(patch_embed__proj__weight=np.ones((64, 3, 4, 5))), r"instead of \[64, 3, 4, 4\]"),
        (_with(pos_embed=np.ones((1, 7, 64))), r"pos_embed of .* has 7 positions, .* no square"),
        (_with(head__weight=np.full((5, 64), np.nan)), r"head\.weight of .* no numbers in 32 bits"),
        (_with(blocks__0__norm1__bias=np.ones(64, np.int8)), r"is int8; weights must be floats"),
    ],
)  # fmt: skip
def test_tensors_that_are_no_plain_vits_are_named(tensors, told, save, unbuilt):
    with pytest.raises(CheckpointError, match=told):
        load_vit(save(tensors, "wrong.safetensors"), num_classes=5)


@given(
    name=st.sampled_from(sorted(DEIT)),
    change=st.sampled_from(["drop", "axis", "flat", "longer", "shorter", "twice", "name"]),
)
def test_no_changed_tensor_passes_or_crashes(save, name, change):
    tensor = DEIT[name]
    changed = {
        "axis": lambda: tensor[None],
        "flat": lambda: tensor.ravel() if tensor.ndim > 1 else tensor[:, None],
        "longer": lambda: np.concatenate([tensor, tensor[:1]]),
        "shorter": lambda: tensor[:-1],
        "twice": lambda: np.concatenate([tensor, tensor], -1),
    }
    others = _without(name)
    if change == "name":
        others[f"{name}.more"] = tensor
    elif change != "drop":
        others[name] = changed[change]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vit, "build_subnet", lambda _: pytest.fail("a network is built"))
        with pytest.raises(CheckpointError):
            load_vit(save(others, "changed.safetensors"))


@pytest.mark.parametrize(
    ("tensors", "options", "told"),
    [
        (random_vit(head=False), {}, "num_classes is not given, and .* has no head"),
        (random_vit(width=96), {}, "num_heads is not given, and .* tokens of 96 values"),
        (DEIT, {"num_heads": 5}, "num_heads is 5; it must divide the 64 values"),
        (DEIT, {"mean": (0.5,)}, r"mean is \(0\.5,\); the checkpoint reads 3 channels"),
        (DEIT, {"mean": (123.7, 116.3, 103.5)}, r"mean is 123\.7; it must be a number in \[0, 1\]"),
        (DEIT, {"std": (0.5, 0, 0.5)}, r"std is 0; it must be a number in \(0, 1\]"),
        (random_vit(channels=1), {}, "mean is .* the checkpoint reads 1 channels"),
        (DEIT, {"patch_size": 16}, "patch_size is 16; it must be at most image_size, 12"),
        (DEIT, {"image_size": 4000}, "makes 1,000,001 tokens; the int8 operators take at most"),
        (DEIT, {"num_classes": 10**6}, "num_classes is 1000000, which makes"),
        (DEIT, {"seed": -1}, "seed is -1"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_go_with_the_checkpoint_are_refused(
    tensors, options, told, save, unbuilt
):
    with pytest.raises(ConfigError, match=told):
        load_vit(save(tensors, "other.safetensors"), **options)


def test_an_error_names_the_file(save, unbuilt):
    path = save(_without("norm.bias"), "named.safetensors")
    with pytest.raises(CheckpointError, match=f"^{re.escape(str(path))} lacks"):
        load_vit(path)
