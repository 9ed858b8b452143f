"""One training step under a strategy, alike wherever it runs.

As a program it takes a folder for the weights and the two workers' addresses, and trains under
each strategy in a fork of its own, which spares it the import: TensorFlow wants devices and
workers set up before anything else. It prints the losses as JSON.
"""

import json
import os
import sys
import traceback
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.batches import batches
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.training.trainers import SupernetTrainer
from mcuformer_tflm.search.space import SearchSpace

SPACE = SearchSpace(
    image_size=8, channels=1, num_classes=4, patch_size=(4,), rank_ratio=(0.5,),
    embed_dim=(8, 16), depth=(1,), num_heads=(1, 2), mlp_ratio=(2.0,), head_dim=4,
)  # fmt: skip
RECIPE = TrainingRecipe(
    weight_decay=0.0, ema_decay=0.5, clip_norm=0.05, sandwich_random=1, distillation_weight=0.3
)


def build(strategy):
    """Returns a trainer of the same weights for every strategy."""
    with strategy.scope():
        tf_keras.utils.set_random_seed(1)
        trainer = SupernetTrainer(Supernet(SPACE.largest()), RECIPE, steps=10, strategy=strategy)
        # Plain gradient descent: Adam divides a wrong factor of the gradient out again.
        trainer.optimizer = tf_keras.optimizers.SGD(
            0.5, global_clipnorm=RECIPE.clip_norm, use_ema=True, ema_momentum=RECIPE.ema_decay
        )
        trainer.optimizer.build(trainer.model.trainable_variables)
    return trainer


def images():
    """Returns one batch."""
    return np.random.default_rng(0).uniform(-1, 1, (8, 8, 8, 1)).astype(np.float32)


def train_one_step(trainer, path):
    """Trains one step and saves the state."""
    # Classes that differ from half to half: a replica's own gradient is not the whole batch's.
    data = batches(images(), np.array([0] * 4 + [3] * 4, np.int32), 8)
    loss = trainer.train(data, SPACE)
    trainer.save(path)
    return loss


def train_under(kind, folder):
    """Trains one step and checks what a strategy refuses; returns the loss."""
    if kind == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        devices = 2 * [tf.config.LogicalDeviceConfiguration()]
        tf.config.set_logical_device_configuration(cpu, devices)
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    else:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    assert strategy.num_replicas_in_sync == 2
    if kind == "mirrored":
        with pytest.raises(ConfigError, match=r"strategy.scope\(\)"):
            SupernetTrainer(Supernet(SPACE.largest()), RECIPE, strategy=strategy)
    trainer = build(strategy)
    if kind == "mirrored":
        with pytest.raises(ConfigError, match="multiple of 2"):
            trainer.train(batches(images(), np.zeros(8, np.int32), 7), SPACE)
        trainer.accuracy(SPACE.smallest(), images(), np.zeros(8, np.int32))
    path = folder / f"{kind}.npz"
    loss = train_one_step(trainer, path)
    if path.exists():
        trainer.restore(path)
    return loss


def fork(name, task, folder):
    """Trains in a new process, which leaves its loss in a file; returns the process."""
    child = os.fork()
    if child:
        return child
    if task:
        os.environ["TF_CONFIG"] = json.dumps(task)
    try:
        loss = train_under(name.split()[0], folder)
        (folder / f"{name}.json").write_text(json.dumps(loss))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
    return None


def main(folder, *addresses):
    """Trains under all strategies at once."""
    tasks = {"mirrored": None} | {
        f"worker {index}": {
            "cluster": {"worker": addresses},
            "task": {"type": "worker", "index": index},
        }
        for index in range(len(addresses))
    }
    children = [fork(name, task, folder) for name, task in tasks.items()]
    if any([os.waitpid(child, 0)[1] for child in children]):
        sys.exit("a process failed")
    print(json.dumps({name: json.loads((folder / f"{name}.json").read_text()) for name in tasks}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
