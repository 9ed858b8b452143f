"""Supernets of all pairs of a space over few graphs, whose weights come and go as arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf
import tf_keras

from mcuformer_tflm.keras_models.architecture import Architecture, Stem
from mcuformer_tflm.keras_models.layers.attention import Attention
from mcuformer_tflm.keras_models.layers.stem import Stem as StemLayer
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.attention_start import initialise_attention
from mcuformer_tflm.keras_models.training.inheritance import inherit_weights
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.training.trainers import SupernetTrainer
from mcuformer_tflm.search.space import SearchSpace

# Of each layer, by name.
Weights = Mapping[str, list[np.ndarray]]
# The length for which a schedule is made before it is stretched.
_NOMINAL = 1000
_KEPT = 8


class _AnyRank(Supernet):
    """A supernet whose subnets take the leading ranks too."""

    def encode(self, architecture: Architecture) -> np.ndarray:
        """Returns the sizes that slicing needs, the architecture's own rank among them."""
        same = dataclasses.replace(architecture, rank_ratio=self.largest.rank_ratio)
        sizes = super().encode(same)
        sizes[2] = architecture.rank
        return sizes


class _Stretched(tf_keras.optimizers.schedules.LearningRateSchedule):
    """A schedule whose length is a variable, so that one graph serves trainings of any length."""

    def __init__(self, schedule: tf_keras.optimizers.schedules.LearningRateSchedule) -> None:
        self._schedule = schedule
        self.steps = tf.Variable(float(_NOMINAL), trainable=False)

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        return self._schedule(tf.cast(step, tf.float32) * (_NOMINAL / self.steps))


class AnyPair:
    """One graph to train and one to predict with for each patch size and stem, for all ranks.

    Of a pair whose rank is not the space's highest the ranks beyond are never touched. To trace a
    graph takes longer than a short training does.

    Args:
        space: A whole space.
        recipe: How all are trained; without a moving average.
        structured: Whether attention starts as ``initialise_attention`` has it.
    """

    def __init__(self, space: SearchSpace, recipe: TrainingRecipe, *, structured: bool) -> None:
        """Builds nothing yet."""
        self.space, self.recipe, self.structured = space, recipe, structured
        self._trainers: dict[tuple[int, Stem], tuple[SupernetTrainer, _Stretched]] = {}
        self._fresh: dict[tuple[int, int, Stem], list[np.ndarray]] = {}

    def trainer(self, patch_size: int, stem: Stem) -> SupernetTrainer:
        """Returns the trainer of all ranks, with whatever weights were left."""
        return self._built(patch_size, stem)[0]

    def begin(self, patch_size: int, stem: Stem, *, seed: int, steps: int) -> SupernetTrainer:
        """Returns a trainer with fresh weights and optimizer, and a schedule of that length."""
        trainer, schedule = self._built(patch_size, stem)
        trainer.supernet.set_weights(self._fresh_weights(patch_size, stem, seed))
        schedule.steps.assign(float(steps))
        for variable in trainer.optimizer.variables:
            variable.assign(tf.zeros_like(variable))
        trainer.seed, trainer.steps, trainer.epoch = seed, steps, 0
        return trainer

    def weights(self, patch_size: int, stem: Stem) -> Weights:
        """Returns the weights of a supernet now, those of a patch size and stem under such names.

        The others are the same layers in all supernets of the space.
        """
        return {
            name: layer.get_weights()
            for name, layer in _named_layers(self.trainer(patch_size, stem).supernet)
        }

    def put(self, patch_size: int, stem: Stem, weights: Weights) -> None:
        """Puts weights back; layers that are not among them stay as they are."""
        for name, layer in _named_layers(self.trainer(patch_size, stem).supernet):
            if name in weights:
                layer.set_weights(weights[name])

    def inherit(self, patch_size: int, stem: Stem, weights: Weights, source: SearchSpace) -> None:
        """Gives a fresh supernet what another pair's has learnt (``inherit_weights``).

        Args:
            patch_size: Of the fresh one.
            stem: Of the fresh one.
            weights: What the other pair's has learnt.
            source: The other pair.
        """
        heir = self.trainer(patch_size, stem).supernet
        of_source = source.patch_size[0], source.stem[0]
        if of_source == (patch_size, stem):
            self.put(patch_size, stem, weights)
        else:
            self.put(*of_source, weights)
            inherit_weights(heir, self.trainer(*of_source).supernet)
        # Ranks beyond the source's: nothing in V, so that a higher rank has the same product.
        for layer in heir.operators():
            if layer.name.endswith("_v"):
                kernel = layer.kernel.numpy()
                kernel[source.largest().rank :] = 0
                layer.kernel.assign(kernel)

    def accuracy(
        self, architecture: Architecture, images: np.ndarray, classes: np.ndarray
    ) -> float:
        """Returns the accuracy of a subnet with the weights that were put."""
        trainer = self.trainer(architecture.patch_size, architecture.stem)
        return trainer.accuracy(architecture, images, classes)

    def _built(self, patch_size: int, stem: Stem) -> tuple[SupernetTrainer, _Stretched]:
        place = patch_size, stem
        if place not in self._trainers:
            trainer = SupernetTrainer(self._supernet(*place), self.recipe, steps=_NOMINAL)
            optimizer = trainer.optimizer
            config = optimizer.get_config()
            given = tf_keras.optimizers.schedules.deserialize(config["learning_rate"])
            schedule = _Stretched(given)
            trainer.optimizer = type(optimizer).from_config({**config, "learning_rate": schedule})
            trainer.optimizer.build(trainer.supernet.trainable_variables)
            self._trainers[place] = trainer, schedule
        return self._trainers[place]

    def _supernet(self, patch_size: int, stem: Stem) -> Supernet:
        part = dataclasses.replace(self.space, patch_size=(patch_size,), stem=(stem,))
        return _AnyRank(part.largest())

    def _fresh_weights(self, patch_size: int, stem: Stem, seed: int) -> list[np.ndarray]:
        key = seed, patch_size, stem
        if key not in self._fresh:
            tf_keras.utils.set_random_seed(seed)
            supernet = self._supernet(patch_size, stem)
            if self.structured:
                initialise_attention(supernet, seed)
            while len(self._fresh) >= _KEPT:
                del self._fresh[next(iter(self._fresh))]
            self._fresh[key] = supernet.get_weights()
        return self._fresh[key]


def _named_layers(supernet: Supernet) -> Iterator[tuple[str, tf_keras.layers.Layer]]:
    largest = supernet.largest
    own = f"{largest.patch_size}-{largest.stem}"
    for layer in supernet.operators():
        if not layer.weights:
            continue
        depends = isinstance(layer, StemLayer) or (isinstance(layer, Attention) and layer.grid)
        yield f"{own}-{layer.name}" if depends else layer.name, layer
