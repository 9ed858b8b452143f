"""Supernets for a whole space over one set of blocks, so that few graphs are traced."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf
import tf_keras

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.training.trainers import SupernetTrainer
from mcuformer_tflm.search.space import SearchSpace


class _AnyRank(Supernet):
    """A supernet whose subnets take the leading ranks too."""

    def encode(self, architecture: Architecture) -> np.ndarray:
        """Returns the sizes that slicing needs, the architecture's own rank among them."""
        same = dataclasses.replace(architecture, rank_ratio=self.largest.rank_ratio)
        sizes = super().encode(same)
        sizes[2] = architecture.rank
        return sizes


class SharedSupernets:
    """A trainer for each patch size, over the same blocks and for all ranks.

    Trained at one patch size and one rank they are the supernet of that pair: ranks beyond are
    never touched. Trained at all of them in turn they are the "composition" of the paper's
    Table 1. To trace a graph takes longer than a short training does.

    Args:
        space: A whole space.
        steps: Of an epoch, the length of each schedule.
    """

    def __init__(self, space: SearchSpace, steps: int) -> None:
        """Builds the supernets of all patch sizes over the same blocks."""
        nets = {
            patch: _AnyRank(dataclasses.replace(space, patch_size=(patch,)).largest())
            for patch in space.patch_size
        }
        first = nets[space.patch_size[0]]
        for net in nets.values():
            net.blocks, net.norm, net.head = first.blocks, first.norm, first.head
        self._trainers = {
            patch: SupernetTrainer(net, TrainingRecipe(), steps=steps)
            for patch, net in nets.items()
        }

    def trainer(self, patch_size: int) -> SupernetTrainer:
        """Returns the trainer of a patch size, with whatever weights were left."""
        return self._trainers[patch_size]

    def freshen(self, *seed: int) -> None:
        """Puts fresh weights everywhere."""
        tf_keras.utils.set_random_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        for trainer in self._trainers.values():
            trainer.supernet.set_weights(_AnyRank(trainer.supernet.largest).get_weights())


def restart(trainer: SupernetTrainer) -> None:
    """Sets an optimizer back to its first step."""
    for variable in trainer.optimizer.variables:
        variable.assign(tf.zeros_like(variable))
