"""Training of supernets and subnets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tf_keras

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.subnet import Subnet
from mcuformer_tflm.keras_models.supernet import Supernet

_WARMUP_SHARE = 0.1
_WEIGHT_DECAY = 0.02
_LABEL_SMOOTHING = 0.05

Progress = Callable[[int, int], None]


def batches(images: np.ndarray, classes: np.ndarray, batch_size: int, seed: int) -> tf.data.Dataset:
    """Returns one epoch of shuffled batches; a rest smaller than a batch is left out.

    Args:
        images: float32[n, height, width, channels] in [-1, 1).
        classes: int32[n].
        batch_size: Images a batch.
        seed: Of the order, which changes with every epoch.
    """
    data = tf.data.Dataset.from_tensor_slices((images, classes))
    data = data.shuffle(len(images), seed=seed, reshuffle_each_iteration=True)
    return data.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def make_optimizer(learning_rate: float, steps: int) -> tf_keras.optimizers.Optimizer:
    """Returns AdamW with linear warm-up, cosine decay to zero and clipped gradients."""
    warmup = max(1, round(_WARMUP_SHARE * steps))
    schedule = tf_keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warmup), warmup_target=learning_rate, warmup_steps=warmup
    )
    return tf_keras.optimizers.AdamW(
        schedule, weight_decay=_WEIGHT_DECAY, beta_2=0.98, global_clipnorm=1.0
    )


def cross_entropy(classes: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns the mean cross-entropy with smoothed labels; int[n], float[n, classes] in."""
    wanted = tf.one_hot(classes, logits.shape[-1])
    wanted = wanted * (1 - _LABEL_SMOOTHING) + _LABEL_SMOOTHING / logits.shape[-1]
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(wanted, logits))


class SupernetTrainer:
    """Trains a supernet, a freshly sampled subnet every step, without retracing.

    Args:
        supernet: What to train.
        learning_rate: Peak of the schedule.
        steps: Length of the schedule.
    """

    def __init__(self, supernet: Supernet, learning_rate: float, steps: int) -> None:
        """Makes the optimizer and the step's graph."""
        self.supernet = supernet
        self.optimizer = make_optimizer(learning_rate, steps)
        self.optimizer.build(supernet.trainable_variables)
        self._step = tf.function(self._train_step, reduce_retracing=True)
        self._predict = tf.function(self._logits, reduce_retracing=True)

    def train(
        self,
        data: tf.data.Dataset,
        sample: Callable[[], Architecture],
        progress: Progress | None = None,
    ) -> float:
        """Trains for one epoch.

        Args:
            data: Batches of images and classes.
            sample: Draws the architecture of a step.
            progress: Called after each step with (done, total).

        Returns:
            Mean loss.
        """
        losses = []
        for step, (images, classes) in enumerate(data):
            sizes = tf.constant(self.supernet.encode(sample()))
            losses.append(self._step(images, classes, sizes))
            if progress is not None:
                progress(step + 1, len(data))
        return float(tf.reduce_mean(losses))

    def accuracy(
        self, architecture: Architecture, images: np.ndarray, classes: np.ndarray
    ) -> float:
        """Returns the share of images that one subnet classifies right, weights as they are."""
        sizes = tf.constant(self.supernet.encode(architecture))
        hits = 0
        for start in range(0, len(images), 500):
            logits = self._predict(images[start : start + 500], sizes)
            hits += int(np.sum(np.argmax(logits, -1) == classes[start : start + 500]))
        return hits / len(images)

    def _logits(self, images: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
        return self.supernet(images, sizes)

    def _train_step(self, images: tf.Tensor, classes: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = cross_entropy(classes, self.supernet(images, sizes, training=True))
        variables = self.supernet.trainable_variables
        gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss


def train_subnet(
    subnet: Subnet,
    data: tf.data.Dataset,
    epochs: int,
    learning_rate: float,
    progress: Progress | None = None,
) -> None:
    """Trains one network, float or quantization-aware, in place.

    Args:
        subnet: The network.
        data: Batches of images and classes.
        epochs: Passes over the data.
        learning_rate: Peak of the schedule.
        progress: Called after each step with (done, total), all epochs together.
    """
    total = epochs * len(data)
    done = 0

    class Report(tf_keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(done, total)

    subnet.compile(make_optimizer(learning_rate, total), cross_entropy)
    subnet.fit(data, epochs=epochs, verbose=0, callbacks=[Report()])


def predict(subnet: Subnet, images: np.ndarray) -> np.ndarray:
    """Returns float32[n, num_classes] logits of float images[n, height, width, channels]."""
    return subnet.predict(images, batch_size=500, verbose=0)
