import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mcuformer_tflm.keras_models.exceptions import (
    CheckpointError,
    ConfigError,
    DataError,
    DivergedError,
)
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.batches import DatasetBatches, batches
from mcuformer_tflm.keras_models.training.checkpoint import load_weights, save_weights
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.training.trainers import (
    SubnetTrainer,
    SupernetTrainer,
    train_subnet,
)
from mcuformer_tflm.search.space import SearchSpace

SPACE = SearchSpace(
    image_size=8, channels=1, num_classes=4, patch_size=(4,), rank_ratio=(0.5,),
    embed_dim=(8, 16), depth=(1,), num_heads=(1, 2), mlp_ratio=(2.0,), head_dim=4,
)  # fmt: skip
RELATIVE = dataclasses.replace(SPACE, relative_position=True)
ALL = TrainingRecipe(ema_decay=0.9, sandwich_random=1, distillation_weight=0.5)


def drawn(count=32, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.uniform(-1, 1, (count, 8, 8, 1)).astype(np.float32)
    return images, rng.integers(0, classes, count, dtype=np.int32)


def fresh(recipe=None, seed=3, space=SPACE, **kwargs):
    tf_keras.utils.set_random_seed(1)
    return SupernetTrainer(Supernet(space.largest()), recipe, steps=12, seed=seed, **kwargs)


def state(trainer):
    return [*trainer.model.get_weights(), *(v.numpy() for v in trainer.optimizer.variables)]


@pytest.mark.parametrize(
    ("space", "recipe"),
    [(RELATIVE, TrainingRecipe()), (SPACE, ALL)],
    ids=["default", "all options"],
)
def test_restored_training_goes_on_bit_by_bit(tmp_path, space, recipe):
    data = batches(*drawn(), 8, seed=5)
    whole = fresh(recipe, space=space)
    whole.train(data, space)
    whole.save(tmp_path / "state.npz")
    losses = [whole.train(data, space) for _ in range(2)]
    tf_keras.utils.set_random_seed(99)
    resumed = SupernetTrainer(Supernet(space.largest()), recipe, steps=12, seed=3)
    resumed.restore(tmp_path / "state.npz")
    assert resumed.epoch == 1
    assert [resumed.train(batches(*drawn(), 8, seed=5), space) for _ in range(2)] == losses
    for one, other in zip(state(whole), state(resumed), strict=True):
        np.testing.assert_array_equal(one, other)


def test_epochs_differ_in_order_and_repeat_by_seed():
    data, again = batches(*drawn(), 8, seed=5), batches(*drawn(), 8, seed=5)
    first, second = (np.stack([c for _, c in data.epoch(n).as_numpy_iterator()]) for n in (0, 1))
    assert not np.array_equal(first, second)
    assert np.array_equal(np.sort(first.ravel()), np.sort(second.ravel()))
    np.testing.assert_array_equal(
        second, np.stack([c for _, c in again.epoch(1).as_numpy_iterator()])
    )
    assert len(data) == len(first) == 4


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"space": dataclasses.replace(SPACE, patch_size=(2,))}, "patch_size is 4 there and 2"),
        ({"space": dataclasses.replace(SPACE, embed_dim=(8, 12))}, "embed_dim is 16 there"),
        ({"recipe": TrainingRecipe(learning_rate=0.5)}, "learning_rate is 0.002 there and 0.5"),
        ({"seed": 4}, "seed is 3 there and 4"),
    ],
)
def test_checkpoint_of_another_training_is_refused_by_field(tmp_path, change, named):
    fresh().save(tmp_path / "state.npz")
    with pytest.raises(CheckpointError, match=named):
        fresh(**change).restore(tmp_path / "state.npz")


def test_weights_load_from_a_training_state_but_not_the_other_way(tmp_path):
    trainer = fresh()
    trainer.epoch = 1
    trainer.save(tmp_path / "state.npz")
    other = Supernet(SPACE.largest())
    assert load_weights(other, tmp_path / "state.npz") == 1
    np.testing.assert_array_equal(other.get_weights()[0], trainer.model.get_weights()[0])
    save_weights(other, tmp_path / "weights.npz", epochs=1)
    with pytest.raises(CheckpointError, match="no state of training"):
        trainer.restore(tmp_path / "weights.npz")
    with pytest.raises(CheckpointError, match="another network"):
        load_weights(Supernet(dataclasses.replace(SPACE, embed_dim=(12,)).largest()),
                     tmp_path / "weights.npz")  # fmt: skip


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "text", "foreign"])
def test_damaged_checkpoint_is_told_as_such(tmp_path, damage):
    path = tmp_path / "state.npz"
    fresh().save(path)
    if damage == "missing":
        path.unlink()
    elif damage == "foreign":
        np.savez(path, other=np.zeros(3))
    else:
        whole = path.read_bytes()
        content = {"empty": b"", "cut": whole[: len(whole) // 2], "text": b"PK no"}
        path.write_bytes(content[damage])
    with pytest.raises(CheckpointError, match="no intact checkpoint"):
        fresh().restore(path)


def test_failed_write_leaves_the_old_checkpoint_whole(tmp_path, monkeypatch):
    path, trainer = tmp_path / "state.npz", fresh()
    trainer.save(path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CheckpointError, match="No space left"):
        trainer.save(path)
    assert path.read_bytes() == before


def test_unwritable_folder_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="cannot be written"):
        fresh().save(tmp_path / "file" / "state.npz")


@pytest.mark.usefixtures("op_by_op")
def test_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(tmp_path):
    images, classes = drawn()
    trainer, path = fresh(), tmp_path / "state.npz"
    trainer.epoch = 1
    trainer.save(path)
    before, good = path.read_bytes(), trainer.model.get_weights()
    trainer.model.head.bias.assign(np.full(4, np.nan))
    with pytest.raises(DivergedError, match=r"nan at step 1 of epoch 2.*state\.npz"):
        trainer.train(batches(images, classes, 8), SPACE)
    with pytest.raises(CheckpointError, match="broken off"):
        trainer.save(path)
    assert path.read_bytes() == before
    trainer.restore(path)
    for one, other in zip(good, trainer.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_class_counts_that_do_not_match_are_refused():
    trainer = fresh()
    with pytest.raises(DataError, match="reach from 0 to 4; allowed are 0 to 3"):
        trainer.train(batches(*drawn(classes=5), 8), SPACE)
    dataset = batches(*drawn(), 8).epoch(0)
    with pytest.raises(DataError, match="has 7 classes, the network 4"):
        trainer.train(DatasetBatches(dataset, num_classes=7), SPACE)


SINGLE = tf.data.Dataset.from_tensor_slices(drawn())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (SINGLE, r"images of shape \(8, 8, 1\).*dataset.batch"),
        (SINGLE.batch(8).map(lambda images, _: images), "it must give .images, classes."),
        (SINGLE.batch(8).map(lambda x, y: {"image": x, "label": y}), "it must give"),
        (SINGLE.batch(8).repeat(), "does not know how many batches"),
        (SINGLE.batch(8).filter(lambda x, y: True), "assert_cardinality"),
        (drawn(), "training data is a tuple; give batches"),
    ],
)
def test_what_is_no_batches_is_refused(data, message):
    with pytest.raises(DataError, match=message):
        fresh().train(data, SPACE)


@pytest.mark.parametrize("change", [np.float32, lambda classes: np.eye(4, dtype=np.int32)[classes]])
def test_classes_that_are_no_whole_numbers_are_refused(change):
    images, classes = drawn()
    with pytest.raises(DataError, match="give one whole number an image"):
        batches(images, change(classes), 8)


@pytest.mark.parametrize(
    ("field", "value"),
    [("learning_rate", -1.0), ("warmup_share", 1.0), ("label_smoothing", -0.1),
     ("ema_decay", 1.0), ("sandwich_random", -1), ("clip_norm", 0.0),
     ("distillation_weight", 1.1), ("distillation_temperature", 0.0),
     ("weight_decay", float("nan"))],
)  # fmt: skip
def test_impossible_recipe_is_refused_by_its_field(field, value):
    with pytest.raises(ConfigError, match=field):
        TrainingRecipe(**{field: value})


def test_distillation_without_a_teacher_is_refused():
    with pytest.raises(ConfigError, match="distillation_weight"):
        fresh(TrainingRecipe(distillation_weight=0.5))


@pytest.mark.usefixtures("op_by_op")
def test_average_follows_the_weights_and_leaves_them_alone():
    trainer = fresh(TrainingRecipe(ema_decay=0.5))
    variable = trainer.model.head.kernel
    average = variable.numpy()
    for _ in range(2):
        trainer.train(batches(*drawn(8), 8), SPACE)
        average = 0.5 * average + 0.5 * variable.numpy()
    before = variable.numpy()
    with trainer.averaged_weights():
        np.testing.assert_allclose(variable.numpy(), average, rtol=1e-5)
    np.testing.assert_array_equal(variable.numpy(), before)


def test_sandwich_applies_the_mean_gradient_of_largest_smallest_and_random():
    trainer = fresh(TrainingRecipe(sandwich_random=1, label_smoothing=0.0))
    images, classes = drawn(8)
    sizes = trainer._draw(SPACE, np.random.default_rng(0))
    assert sizes.shape[0] == 3
    wanted = tf.one_hot(classes, 4)
    _, gradients = trainer._gradients(tf.constant(images), wanted, sizes)
    parts = []
    for size in (
        trainer.supernet.encode(SPACE.largest()), trainer.supernet.encode(SPACE.smallest()),
        sizes[2],
    ):  # fmt: skip
        with tf.GradientTape() as tape:
            logits = trainer.supernet(images, tf.constant(size), training=True)
            loss = tf.nn.softmax_cross_entropy_with_logits(wanted, logits)
            loss = tf.reduce_mean(loss)
        parts.append(tape.gradient(loss, trainer.model.trainable_variables,
                                   unconnected_gradients="zero"))  # fmt: skip
    for found, *each in zip(gradients, *parts, strict=True):
        np.testing.assert_allclose(found, np.mean([np.asarray(e) for e in each], 0), atol=1e-6)


def test_students_of_the_sandwich_follow_the_largest_and_it_follows_the_labels():
    recipe = TrainingRecipe(sandwich_random=0, distillation_weight=1.0, label_smoothing=0.0)
    trainer = fresh(recipe)
    images, classes = drawn(8)
    wanted = tf.one_hot(classes, 4)
    sizes = trainer._draw(SPACE, np.random.default_rng(0))
    loss, _ = trainer._gradients(tf.constant(images), wanted, sizes)
    largest, smallest = (trainer.supernet(images, size) for size in (sizes[0], sizes[1]))
    cross_entropy = tf.nn.softmax_cross_entropy_with_logits
    by_labels = tf.reduce_mean(cross_entropy(wanted, largest))
    by_largest = tf.reduce_mean(cross_entropy(tf.nn.softmax(largest), smallest))
    np.testing.assert_allclose(loss, (by_labels + by_largest) / 2, rtol=1e-5)


@pytest.mark.parametrize("sandwich", [None, 0])
def test_every_subnet_of_a_step_follows_the_teacher(sandwich):
    recipe = TrainingRecipe(
        sandwich_random=sandwich, distillation_weight=1.0, distillation_temperature=2.0
    )
    tf_keras.utils.set_random_seed(2)
    teacher = build_subnet(SPACE.largest())
    trainer = SupernetTrainer(Supernet(SPACE.largest()), recipe, teacher=teacher)
    images, classes = drawn(8)
    sizes = trainer._draw(SPACE, np.random.default_rng(0))
    loss, _ = trainer._gradients(tf.constant(images), tf.one_hot(classes, 4), sizes)
    told = tf.nn.softmax(teacher(images) / 2)
    losses = [
        tf.nn.softmax_cross_entropy_with_logits(told, trainer.supernet(images, size) / 2)
        for size in sizes
    ]
    np.testing.assert_allclose(loss, 4 * np.mean(losses), rtol=1e-5)


def test_student_learns_from_a_teacher_what_the_labels_do_not_say():
    images, classes = drawn(32)
    teacher = build_subnet(SPACE.largest())
    for weight in teacher.trainable_weights:
        weight.assign(weight * 3)
    tf_keras.utils.set_random_seed(2)
    recipe = TrainingRecipe(learning_rate=1e-2, distillation_weight=1.0, label_smoothing=0.0)
    trainer = SubnetTrainer(build_subnet(SPACE.smallest()), recipe, steps=120, teacher=teacher)
    shuffled = np.random.default_rng(1).permutation(classes)
    data = batches(images, shuffled, 8)
    losses = [trainer.train(data) for _ in range(30)]
    told = tf.nn.softmax(teacher(images))
    lowest = float(tf.reduce_mean(-tf.reduce_sum(told * tf.math.log(told), -1)))
    assert losses[-1] - lowest < 0.5 * (losses[0] - lowest)


@pytest.mark.usefixtures("op_by_op")
def test_interrupted_subnet_ends_as_an_uninterrupted_one(tmp_path):
    data, recipe = batches(*drawn(), 8), TrainingRecipe(ema_decay=0.5)

    def start():
        tf_keras.utils.set_random_seed(4)
        return build_subnet(SPACE.largest())

    whole = start()
    train_subnet(whole, data, 2, recipe=recipe)

    def interrupt(done, total):
        if done == 7:
            raise KeyboardInterrupt

    path = tmp_path / "subnet.npz"
    with pytest.raises(KeyboardInterrupt):
        train_subnet(start(), data, 2, recipe=recipe, progress=interrupt, checkpoint=path)
    resumed = start()
    train_subnet(resumed, data, 2, recipe=recipe, checkpoint=path)
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_any_keras_model_trains_and_goes_on_after_an_interruption(tmp_path):
    def network(width=4):
        tf_keras.utils.set_random_seed(1)
        layers = [
            tf_keras.layers.Conv2D(width, 3, 2),
            tf_keras.layers.BatchNormalization(),
            tf_keras.layers.GlobalAveragePooling2D(),
            tf_keras.layers.Dense(4),
        ]
        return tf_keras.Sequential([tf_keras.Input((8, 8, 1)), *layers], name="convolutions")

    data, file = batches(*drawn(), 8, seed=5), tmp_path / "state.npz"
    whole = network()
    train_subnet(whole, data, 2)

    def interrupt(done, total):
        if done == len(data) + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_subnet(network(), data, 2, progress=interrupt, checkpoint=file)
    resumed = network()
    train_subnet(resumed, data, 2, checkpoint=file)
    for ours, theirs in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(CheckpointError, match="parameters is 76 there and 148 here"):
        SubnetTrainer(network(width=8), steps=2 * len(data)).restore(file)
