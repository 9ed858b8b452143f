import numpy as np
import pytest
import tensorflow as tf

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.training import augment
from mcuformer_tflm.keras_models.training import batches as training_batches
from mcuformer_tflm.keras_models.training.batches import batches
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe


def picture(channels=3, size=12):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (size, size, channels)).astype(np.float32)


def apply(name, strength, sign=1.0, x=None):
    x = picture() if x is None else x
    return augment._OPERATIONS[name](tf.constant(x), tf.constant(strength), tf.constant(sign))


def test_rand_augment_has_the_fifteen_operations():
    assert len(augment._OPERATIONS) == 15


@pytest.mark.parametrize(
    "name", ["rotate", "shear_x", "shear_y", "translate_x", "translate_y", "color", "contrast",
             "brightness", "sharpness", "solarize", "solarize_add"],
)  # fmt: skip
def test_operations_that_grow_with_strength_leave_the_image_at_none(name):
    np.testing.assert_allclose(apply(name, 0.0), picture(), atol=1e-3)
    assert np.abs(apply(name, 0.9) - picture()).max() > 1


def test_operations_do_what_their_names_say():
    x = picture()
    np.testing.assert_array_equal(apply("invert", 0.5), 255 - x)
    assert len(np.unique(apply("posterize", 0.5))) == 4, "two bits are left"
    stretched = apply("auto_contrast", 0.0, x=x / 4 + 100)
    np.testing.assert_allclose(np.ptp(stretched, axis=(0, 1)), 255, atol=1e-2)
    grey = apply("color", 1 / 0.9, -1.0)
    np.testing.assert_allclose(grey[..., 0], grey[..., 2], atol=1e-3)
    np.testing.assert_allclose(apply("brightness", 0.5, -1.0), 0.55 * x, rtol=1e-5)
    shifted = apply("translate_x", 2 / (0.45 * 12))
    np.testing.assert_allclose(shifted[:, :-2], x[:, 2:], atol=1e-3)
    np.testing.assert_array_equal(shifted[:, -2:], np.full((12, 2, 3), 128))
    quarter = apply("rotate", 3.0)  # three times 30 degrees
    np.testing.assert_allclose(quarter, np.rot90(x), atol=0.1)
    evened = np.sort(apply("equalize", 0.0, x=x**2 / 255), axis=None)
    assert abs(np.median(evened) - 128) < 12


@pytest.mark.parametrize("channels", [1, 3])
def test_rand_augment_repeats_by_seed_and_stays_in_range(channels):
    image = tf.constant((picture(channels) - 128) / 128)

    @tf.function
    def run(seed):
        return augment.rand_augment(image, seed, 2, 9.0, 0.5)

    results = [run(tf.constant([3, i])).numpy() for i in range(40)]
    np.testing.assert_array_equal(results[7], run(tf.constant([3, 7])))
    unchanged = sum(np.allclose(result, image, atol=1e-6) for result in results)
    assert 2 <= unchanged <= 20, "each of two operations is left out half the time"
    assert len({result.tobytes() for result in results}) >= 20
    assert min(map(np.min, results)) >= -1
    assert max(map(np.max, results)) < 1


def test_random_erasing_fills_one_rectangle_as_often_as_asked():
    image, shares = tf.zeros([20, 20, 1]), []
    for i in range(200):
        changed = augment.random_erase(image, tf.constant([1, i]), 0.25).numpy()[..., 0] != 0
        shares.append(changed.mean())
        if changed.any():
            rows, columns = np.where(changed.any(1))[0], np.where(changed.any(0))[0]
            block = changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            assert block.all(), "one rectangle, filled"
    erased = [share for share in shares if share]
    assert 30 <= len(erased) <= 70
    assert min(erased) > 0.01
    assert max(erased) < 0.4


def test_mixup_blends_images_and_labels_alike():
    images = np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1)
    labels = np.eye(4, dtype=np.float32)
    blended, wanted = augment.mixup(images, labels, tf.constant([1, 2]), 0.8)
    share = float(wanted[0, 0])
    assert 0 < share < 1
    np.testing.assert_allclose(np.sum(wanted, -1), 1, rtol=1e-6)
    expected = share * np.arange(4) + (1 - share) * np.arange(4)[::-1]
    np.testing.assert_allclose(np.ravel(blended), expected, rtol=1e-6)
    shares = [
        float(augment.mixup(images, labels, tf.constant([1, i]), 0.8)[1][0, 0]) for i in range(300)
    ]
    # Beta(0.8, 0.8): mean 1/2, variance 1 / (4 (2 0.8 + 1)).
    assert abs(np.mean(shares) - 0.5) < 0.07
    assert abs(np.var(shares) - 1 / 10.4) < 0.02


def test_augmented_epochs_repeat_by_seed_and_differ_from_each_other():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (16, 8, 8, 1), dtype=np.uint8)
    classes = rng.integers(0, 3, 16, dtype=np.int32)
    recipe = TrainingRecipe(
        crop_padding=1, flip_probability=0.5, rand_augment_operations=1,
        erasing_probability=0.5, mixup_alpha=0.8,
    )  # fmt: skip

    def epoch(number, seed=0):
        data = batches(images, classes, 8, seed=seed, num_classes=3, recipe=recipe)
        pairs = list(data.epoch(number).as_numpy_iterator())
        assert len(pairs) == len(data) == 2
        return [np.concatenate(part) for part in zip(*pairs, strict=True)]

    first, again, second, other = epoch(0), epoch(0), epoch(1), epoch(0, seed=1)
    assert first[0].shape == (16, 8, 8, 1)
    assert first[1].shape == (16, 3)
    assert first[0].min() >= -1
    assert first[0].max() < 1
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, same)
    assert not np.array_equal(first[0], second[0])
    assert not np.array_equal(first[0], other[0])


def test_augmentation_is_traced_once_for_all_epochs(monkeypatch):
    traced = []

    def change(image, seed, recipe):
        traced.append(image.shape)
        return image

    monkeypatch.setattr(training_batches, "augment_image", change)
    # A recipe of this test alone: what is traced is kept for the process.
    recipe = TrainingRecipe(flip_probability=0.0625)
    data = batches(picture()[None].repeat(4, 0) / 255, np.zeros(4, int), 2, recipe=recipe)
    for epoch in range(3):
        list(data.epoch(epoch))
    assert len(traced) == 1


def test_mixup_without_the_number_of_classes_is_refused():
    with pytest.raises(ConfigError, match="num_classes"):
        batches(np.zeros((4, 8, 8, 1), np.uint8), np.zeros(4, np.int32), 2,
                recipe=TrainingRecipe(mixup_alpha=0.8))  # fmt: skip


def test_bytes_and_floats_give_the_same_batches():
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), dtype=np.uint8)
    floats, classes = (images.astype(np.float32) - 128) / 128, np.zeros(6, np.int32)
    one, other = (next(iter(batches(x, classes, 6).epoch(0)))[0] for x in (images, floats))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("field", "value"), [("mixup_alpha", -1), ("erasing_probability", 2), ("flip_probability", -1),
                         ("rand_augment_magnitude", 11), ("crop_padding", -1)],
)  # fmt: skip
def test_impossible_augmentation_is_refused_by_its_field(field, value):
    with pytest.raises(ConfigError, match=field):
        TrainingRecipe(**{field: value})


def test_paper_recipe_has_the_published_values():
    recipe = TrainingRecipe.imagenet()
    assert (recipe.learning_rate, recipe.weight_decay, recipe.label_smoothing) == (1e-3, 0.05, 0.1)
    assert (recipe.mixup_alpha, recipe.erasing_probability) == (0.8, 0.25)
    assert (recipe.rand_augment_operations, recipe.rand_augment_magnitude) == (2, 9)
