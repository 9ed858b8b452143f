import numpy as np
import pytest
import tensorflow as tf

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training import SupernetTrainer, batches
from mcuformer_tflm.search.space import FASHION_MNIST_SPACE

SPACE = FASHION_MNIST_SPACE.at(7, 0.8)


class Only:
    """One network instead of a space."""

    def __init__(self, architecture):
        self.architecture = architecture

    def sample(self, rng):
        return self.architecture

    def smallest(self):
        return self.architecture


@pytest.fixture(scope="module")
def supernet():
    return Supernet(SPACE.largest())


@pytest.mark.parametrize("seed", range(6))
def test_extracted_subnet_gives_the_supernets_outputs(supernet, seed):
    rng = np.random.default_rng(seed)
    architecture = SPACE.sample(rng)
    images = rng.uniform(-1, 1, (3, 28, 28, 1)).astype(np.float32)
    inside = supernet(images, tf.constant(supernet.encode(architecture)))
    np.testing.assert_allclose(inside, supernet.extract(architecture)(images), atol=1e-5)


def test_every_subnet_runs_in_two_traces_one_to_train_one_to_predict(supernet):
    rng = np.random.default_rng(0)
    images, classes = rng.uniform(-1, 1, (8, 28, 28, 1)).astype(np.float32), np.arange(8) % 10
    trainer = SupernetTrainer(supernet, steps=8)
    data = batches(images, classes.astype(np.int32), 4, 0)
    for _ in range(4):
        trainer.train(data, SPACE)
        for count in (5, 8):
            trainer.accuracy(SPACE.sample(rng), images[:count], classes[:count])
    assert trainer._step.experimental_get_tracing_count() == 1
    assert trainer._predict.experimental_get_tracing_count() == 1


def test_blocks_beyond_the_depth_do_not_learn():
    supernet = Supernet(SPACE.largest())
    rng = np.random.default_rng(0)
    shallow = SPACE.smallest()
    images, classes = rng.uniform(-1, 1, (8, 28, 28, 1)).astype(np.float32), np.arange(8) % 10
    data = batches(images, classes.astype(np.int32), 8, 0)
    trainer = SupernetTrainer(supernet, TrainingRecipe(learning_rate=1e-2, weight_decay=0.0), 2)
    before = [layers["qkv"].kernel.numpy() for layers in supernet.blocks]
    for _ in range(2):
        trainer.train(data, Only(shallow))
    moved = [
        np.abs(layers["qkv"].kernel.numpy() - old).max() > 1e-4
        for layers, old in zip(supernet.blocks, before, strict=True)
    ]
    assert moved == [block < shallow.depth for block in range(len(moved))]


@pytest.mark.parametrize(
    ("field", "value"),
    [("patch_size", 4), ("rank_ratio", 0.5), ("embed_dim", 80), ("num_heads", (9, 9))],
)
def test_foreign_architecture_is_refused_by_its_field(supernet, field, value):
    import dataclasses

    foreign = dataclasses.replace(SPACE.smallest(), **{field: value})
    with pytest.raises(ConfigError, match=field):
        supernet.encode(foreign)


@pytest.mark.parametrize(
    ("field", "value"),
    [("rank_ratio", 0.0), ("rank_ratio", 1.5), ("patch_size", 99), ("embed_dim", 0),
     ("num_heads", (2,))],
)  # fmt: skip
def test_impossible_architecture_is_refused_by_its_field(field, value):
    import dataclasses

    with pytest.raises(ConfigError, match=field):
        dataclasses.replace(SPACE.smallest(), **{field: value})


def test_architecture_survives_json():
    architecture = SPACE.sample(np.random.default_rng(1))
    assert Architecture.from_json(architecture.to_json()) == architecture
    with pytest.raises(ConfigError):
        Architecture.from_json('{"embed_dim": 3}')


def test_rank_is_not_lost_to_binary_fractions():
    import dataclasses

    wide = dataclasses.replace(SPACE.smallest(), rank_ratio=0.95, embed_dim=60)
    assert wide.rank == 57
