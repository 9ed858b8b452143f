"""Training of supernets and subnets."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tf_keras

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path, checked_type
from mcuformer_tflm.keras_models.exceptions import (
    CheckpointError,
    ConfigError,
    DataError,
    DivergedError,
)
from mcuformer_tflm.keras_models.images import check_images, to_floats
from mcuformer_tflm.keras_models.subnet import Subnet
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.batches import (
    Batches,
    as_batches,
    as_trained_on,
    batches,
    check_batch,
    check_classes,
    check_num_classes,
)
from mcuformer_tflm.keras_models.training.checkpoint import (
    fitting,
    losses_in,
    numbered,
    read_arrays,
    write_arrays,
)
from mcuformer_tflm.keras_models.training.origin import (
    Origin,
    as_json,
    data_origin,
    differences,
    layers_origin,
    weights_origin,
)
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe

__all__ = [
    "Progress",
    "SubnetTrainer",
    "Subnets",
    "SupernetTrainer",
    "batches",
    "predict",
    "train_subnet",
]

Progress = Callable[[int, int], None]
_PREDICTED_AT_ONCE = 500
_SCORED_AT_ONCE = 250
_ORIGIN = "origin"


class Subnets(Protocol):
    """Where the networks of each step come from; a ``SearchSpace`` of one supernet is one."""

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draws a network."""

    def smallest(self) -> Architecture:
        """Returns the smallest network."""


@dataclasses.dataclass(frozen=True)
class OneNetwork:
    """One network where a trainer wants to draw one."""

    architecture: Architecture

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Returns it."""
        return self.architecture

    def smallest(self) -> Architecture:
        """Returns it."""
        return self.architecture


def make_optimizer(recipe: TrainingRecipe, steps: int) -> tf_keras.optimizers.Optimizer:
    """Returns AdamW with linear warm-up, cosine decay, clipped gradients and moving average."""
    warmup = max(1, round(recipe.warmup_share * steps))
    schedule = tf_keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, steps - warmup),
        alpha=recipe.final_learning_rate,
        warmup_target=recipe.learning_rate,
        warmup_steps=warmup,
    )
    return tf_keras.optimizers.AdamW(
        schedule,
        weight_decay=recipe.weight_decay,
        beta_2=recipe.beta_2,
        global_clipnorm=recipe.clip_norm,
        use_ema=recipe.ema_decay is not None,
        ema_momentum=recipe.ema_decay or 0.0,
    )


class _Trainer:
    """The training that supernets and subnets share.

    State is (weights, optimizer, epoch) and nothing else: order of the data, augmentation and
    sampled subnets follow from the seed and the epoch, so that training goes on after
    ``restore`` exactly as it would have without the interruption.
    """

    def __init__(
        self,
        model: tf_keras.Model,
        described: dict[str, Any],
        recipe: TrainingRecipe | None,
        steps: int,
        seed: int,
        teacher: tf_keras.Model | None,
        strategy: tf.distribute.Strategy | None,
    ) -> None:
        # ``described``: the fields in which a checkpoint's network must be this one.
        if steps < 1:
            raise ConfigError(f"steps is {steps}; it must be at least 1.")
        self.model = model
        self.recipe = recipe or TrainingRecipe()
        self.steps = steps
        self.seed = seed
        self.epoch = 0
        self.mean_loss = 0.0  # of the epoch's steps so far
        self.losses: list[float] = []  # of every step of every whole epoch
        self.teacher = teacher
        if model.dtype_policy.name != self.recipe.precision:
            raise ConfigError(
                f"precision is {self.recipe.precision!r} in the recipe, but the network computes "
                f"in {model.dtype_policy.name!r}; build the supernet with the recipe's precision."
            )
        self.strategy = strategy or tf.distribute.get_strategy()
        self._described = described
        self._image_shape = _image_shape(model)
        self._whole_epoch = True
        self._last_checkpoint: Path | None = None
        self._taught_by = None if teacher is None else weights_origin(teacher)
        variables = model.trainable_variables
        if not all(map(self.strategy.extended.variable_created_in_scope, variables)):
            raise ConfigError(
                "The network was not built under this strategy; build it inside "
                "`with strategy.scope():`."
            )
        with self.strategy.scope():
            self.optimizer = make_optimizer(self.recipe, steps)
            self.optimizer.build(variables)
        self._step = tf.function(self._distributed_step, reduce_retracing=True)

    @contextlib.contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Puts the moving average of the weights into the network while the context lasts.

        Raises:
            ConfigError: If the recipe keeps no average.
        """
        if self.recipe.ema_decay is None:
            raise ConfigError("The recipe keeps no moving average; give it an ema_decay.")
        variables = self.model.trainable_variables
        kept = [variable.numpy() for variable in variables]
        self.optimizer.finalize_variable_values(variables)
        try:
            yield
        finally:
            for variable, value in zip(variables, kept, strict=True):
                variable.assign(value)

    def save(self, path: AnyPath, origin: Mapping[str, Any] | None = None) -> None:
        """Writes weights, optimizer, moving average and epoch to an ``.npz`` file.

        The file is whole at any moment. ``load_weights`` reads it too. Its entry ``state`` is
        JSON that says what it came from, field by field.

        Args:
            path: The file.
            origin: What the training came from besides the trainer's own arguments, such as its
                data (``origin.data_origin``), for ``restore`` to compare.

        Raises:
            CheckpointError: If the file cannot be written, or an epoch was broken off.
        """
        path = checked_path("path", path)
        if not self._whole_epoch:
            raise CheckpointError(
                f"Epoch {self.epoch + 1} was broken off, and a training state cannot be saved "
                "within one; restore the last checkpoint."
            )
        told = as_json({**self._state(), _ORIGIN: origin})
        arrays = {"epochs": np.asarray(self.epoch), "state": np.asarray(told)}
        arrays |= numbered("weight", self.model.get_weights())
        arrays |= numbered("optimizer", [v.numpy() for v in self.optimizer.variables])
        arrays["losses"] = np.asarray(self.losses, np.float32)
        if self._writes():
            write_arrays(path, arrays)
        self._last_checkpoint = path

    def restore(self, path: AnyPath, origin: Mapping[str, Any] | None = None) -> None:
        """Goes back to the state that ``save`` has written; training goes on bit by bit.

        Args:
            path: The file.
            origin: As for ``save``; None goes on whatever the training came from.

        Raises:
            CheckpointError: If the file is missing, damaged, or of another network, recipe,
                seed, teacher or length of training, or has another origin.
        """
        path = checked_path("path", path)
        saved = read_arrays(path)
        if "state" not in saved:
            raise CheckpointError(f"{path} holds weights, but no state of training.")
        try:
            there, here = json.loads(str(saved["state"])), self._state()
            if not isinstance(there, dict):
                raise ValueError("its state says nothing")
        except (ValueError, RecursionError) as error:
            raise CheckpointError(
                f"{path} is no intact checkpoint ({error}); remove it to start anew."
            ) from error
        different = differences(there, here)
        if origin is not None:
            kept = there.get(_ORIGIN)
            if kept is None:
                raise CheckpointError(
                    f"{path} does not say from which data and weights its training came: an older "
                    "version has written it, or save(...) without an origin. Remove it to start "
                    "anew, or name another file."
                )
            different = differences(kept, origin) + different
        if different:
            raise CheckpointError(
                f"{path} is the checkpoint of another training: {'; '.join(different)}. Give what "
                "it came from, remove it to start anew, or name another file."
            )
        weights = fitting(path, saved, "weight", self.model.weights)
        optimizer = fitting(path, saved, "optimizer", self.optimizer.variables)
        self.model.set_weights(weights)
        for variable, value in zip(self.optimizer.variables, optimizer, strict=True):
            variable.assign(value)
        self.epoch = int(saved["epochs"])
        self.losses = losses_in(saved)
        self._whole_epoch = True
        self._last_checkpoint = path

    def _train(
        self,
        data: Batches | tf.data.Dataset,
        sizes: Callable[[], tf.Tensor],
        progress: Progress | None,
    ) -> float:
        data = as_batches(data)
        check_num_classes(data, self._described["num_classes"])
        total = len(data)
        dataset = as_trained_on(data.epoch(self.epoch), self._image_shape)
        replicas, batch = self.strategy.num_replicas_in_sync, dataset.element_spec[0].shape[0]
        if batch is not None and batch % replicas:
            raise ConfigError(
                f"A batch of {batch} images cannot be shared out evenly among {replicas} "
                f"replicas; choose a batch_size that is a multiple of {replicas}."
            )
        losses = []
        self.mean_loss = 0.0
        self._whole_epoch = False
        shared = self.strategy.experimental_distribute_dataset(dataset)
        for done, (images, classes) in enumerate(shared, 1):
            self._check(images, classes)
            loss = float(self._step(images, classes, sizes()))
            if not math.isfinite(loss):
                raise DivergedError(self._divergence(done, loss))
            losses.append(loss)
            self.mean_loss += (loss - self.mean_loss) / done
            if progress is not None:
                progress(done, total)
        if not losses:
            raise DataError("The epoch has no batch; give more images or a smaller batch_size.")
        self.epoch += 1
        self.losses += losses
        self._whole_epoch = True
        return float(np.mean(losses))

    def _check(self, images: Any, classes: Any) -> None:
        # Outside the graph, whose errors would be TensorFlow's.
        local = self.strategy.experimental_local_results
        for part in zip(local(images), local(classes), strict=True):
            check_batch(*part, self._image_shape, self._described["num_classes"])

    def _distributed_step(self, images: Any, classes: Any, sizes: tf.Tensor) -> tf.Tensor:
        losses = self.strategy.run(self._replica_step, (images, classes, sizes))
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    def _replica_step(self, images: tf.Tensor, classes: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
        # Equal shares of the batch: the mean of their means is the mean of the whole batch.
        # The optimizer sums over replicas before it clips.
        share = 1 / self.strategy.num_replicas_in_sync
        loss, gradients = self._gradients(images, self._wanted(classes), sizes)
        gradients = [share * gradient for gradient in gradients]
        variables = self.model.trainable_variables
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return share * loss

    def _gradients(
        self, images: tf.Tensor, wanted: tf.Tensor, sizes: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        teacher = self._teach(images)
        weight = self.recipe.distillation_weight
        loss, gradients, _ = self._subnet_gradients(images, wanted, sizes, teacher, weight)
        return loss, gradients

    def _teach(self, images: tf.Tensor) -> tf.Tensor | None:
        return None if self.teacher is None else self.teacher(images, training=False)

    def _subnet_gradients(
        self,
        images: tf.Tensor,
        wanted: tf.Tensor,
        sizes: tf.Tensor,
        teacher: tf.Tensor | None,
        weight: tf.Tensor | float,
    ) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor]:
        with tf.GradientTape() as tape:
            logits = self._forward(images, sizes)
            loss = tf.reduce_mean(self._loss(wanted, logits, teacher, weight))
        gradients = tape.gradient(
            loss, self.model.trainable_variables, unconnected_gradients="zero"
        )
        return loss, gradients, logits

    def _forward(self, images: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
        raise NotImplementedError

    def _wanted(self, classes: tf.Tensor) -> tf.Tensor:
        num_classes, smoothing = self._described["num_classes"], self.recipe.label_smoothing
        wanted = tf.one_hot(classes, num_classes) if classes.dtype.is_integer else classes
        return wanted * (1 - smoothing) + smoothing / num_classes

    def _loss(
        self,
        wanted: tf.Tensor,
        logits: tf.Tensor,
        teacher: tf.Tensor | None,
        weight: tf.Tensor | float,
    ) -> tf.Tensor:
        loss = tf.nn.softmax_cross_entropy_with_logits(wanted, logits)
        if teacher is None or not self.recipe.distillation_weight:
            return loss
        temperature = self.recipe.distillation_temperature
        # The square keeps the gradient's size whatever the temperature (Hinton et al., 2015).
        followed = tf.nn.softmax(tf.stop_gradient(teacher) / temperature)
        imitation = tf.nn.softmax_cross_entropy_with_logits(followed, logits / temperature)
        return (1 - weight) * loss + weight * temperature**2 * imitation

    def _state(self) -> dict[str, Any]:
        return {
            "architecture": self._described,
            "quantization": self._quantization(),
            "recipe": dataclasses.asdict(self.recipe),
            "seed": self.seed,
            "steps": self.steps,
            "teacher": self._taught_by,
        }

    def _quantization(self) -> dict[str, Any] | None:
        config = getattr(self.model, "quantization", None)
        return None if config is None else dataclasses.asdict(config)

    def _writes(self) -> bool:
        # Of several machines that train together, the first writes.
        resolver = self.strategy.cluster_resolver
        return resolver is None or not resolver.task_id or resolver.task_type == "chief"

    def _divergence(self, step: int, loss: float) -> str:
        last = self._last_checkpoint
        kept = "No checkpoint was saved" if last is None else f"The last good checkpoint is {last}"
        return (
            f"The loss is {loss} at step {step} of epoch {self.epoch + 1}. {kept}. Lower the "
            f"learning_rate ({self.recipe.learning_rate}), lengthen the warm-up, or look for "
            "damaged images."
        )


class SupernetTrainer(_Trainer):
    """Trains a supernet, freshly sampled subnets every step, without retracing.

    ``save`` and ``restore`` keep the whole state of training; what is sampled and shown
    depends on the seed and the epoch alone.

    Args:
        supernet: What to train.
        recipe: How.
        steps: Length of the learning rate's schedule.
        seed: Of the sampled subnets, together with the epoch.
        teacher: A network whose probabilities the subnets follow, images to logits.
        strategy: Of ``tf.distribute``; the supernet must be built inside its scope. A batch is
            shared out among the replicas.

    Attributes:
        epoch: Epochs behind the weights.

    Raises:
        ConfigError: If the options do not go together.
    """

    def __init__(
        self,
        supernet: Supernet,
        recipe: TrainingRecipe | None = None,
        *,
        steps: int = 1,
        seed: int = 0,
        teacher: tf_keras.Model | None = None,
        strategy: tf.distribute.Strategy | None = None,
    ) -> None:
        """Makes the optimizer and the step's graph."""
        described = json.loads(supernet.largest.to_json())
        super().__init__(supernet, described, recipe, steps, seed, teacher, strategy)
        self.supernet = supernet
        largest = supernet.largest
        check_distillation(self.recipe, teacher, largest.image_shape, largest.num_classes)
        images = [None, *largest.image_shape]
        self._predict = tf.function(
            supernet,
            input_signature=[
                tf.TensorSpec(images, tf.float32),
                tf.TensorSpec(supernet.encode(largest).shape, tf.int32),
            ],
        )

    def train(
        self, data: Batches | tf.data.Dataset, subnets: Subnets, *, progress: Progress | None = None
    ) -> float:
        """Trains for one epoch.

        Args:
            data: Images and classes, from ``batches`` or a loader. A ``tf.data.Dataset`` is
                taken as it is; one that shuffles anew each time cannot be resumed exactly.
            subnets: Draws the architectures: a space of one ``patch_size`` and ``rank_ratio``.
            progress: Called after each step with (done, total).

        Returns:
            Mean loss.

        Raises:
            DataError: If the data's shapes or classes are not the supernet's, or images are
                neither bytes nor floats in [-1, 1); no step is taken on a batch that holds such.
            DivergedError: If a loss is no number; the last checkpoint stays as it is.
        """
        rng = np.random.default_rng([self.seed, self.epoch])
        return self._train(data, lambda: self._draw(subnets, rng), progress)

    def accuracy(
        self, architecture: Architecture, images: np.ndarray, classes: np.ndarray
    ) -> float:
        """Returns the share of images that one subnet classifies right, weights as they are.

        Args:
            architecture: The subnet.
            images: float[n, height, width, channels] in [-1, 1), or uint8.
            classes: Integers [n].

        Raises:
            DataError: If images or classes are others.
        """
        check_images(images, self.supernet.largest.image_shape)
        check_classes(classes, self.supernet.largest.num_classes)
        sizes = tf.constant(self.supernet.encode(architecture))

        return share_right(lambda part: self._predict(part, sizes), images, classes)

    @property
    def traces(self) -> int:
        """Graphs made so far: one to train and one to predict, whatever the architectures."""
        return sum(graph.experimental_get_tracing_count() for graph in (self._step, self._predict))

    def _draw(self, subnets: Subnets, rng: np.random.Generator) -> tf.Tensor:
        encode, sandwich = self.supernet.encode, self.recipe.sandwich_random
        drawn = [encode(subnets.sample(rng)) for _ in range(1 if sandwich is None else sandwich)]
        if sandwich is not None:
            drawn = [encode(self.supernet.largest), encode(subnets.smallest()), *drawn]
        return tf.constant(np.stack(drawn))

    def _gradients(
        self, images: tf.Tensor, wanted: tf.Tensor, sizes: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        if self.recipe.sandwich_random is None:
            return super()._gradients(images, wanted, sizes[0])
        teacher = self._teach(images)
        # A loop in the graph: one trace, however many subnets.
        count, variables = sizes.shape[0], self.model.trainable_variables

        def add(
            i: tf.Tensor, total: tf.Tensor, sums: list[tf.Tensor], largest: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor], tf.Tensor]:
            followed, weight = teacher, tf.constant(self.recipe.distillation_weight)
            if teacher is None:
                # The largest subnet, which comes first, learns from the labels alone.
                followed, weight = largest, tf.where(i == 0, 0.0, weight)
            loss, gradients, logits = self._subnet_gradients(
                images, wanted, sizes[i], followed, weight
            )
            sums = [one + other for one, other in zip(sums, gradients, strict=True)]
            return i + 1, total + loss, sums, tf.where(i == 0, logits, largest)

        zeros = [tf.zeros(variable.shape) for variable in variables]
        start = (tf.constant(0), tf.constant(0.0), zeros, tf.zeros_like(wanted))
        _, total, sums, _ = tf.while_loop(
            lambda i, *_: i < count, add, start, parallel_iterations=1
        )
        return total / count, [gradient / count for gradient in sums]

    def _forward(self, images: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
        return self.supernet(images, sizes, training=True)


class SubnetTrainer(_Trainer):
    """Trains one network, float or quantization-aware.

    Args:
        subnet: What to train: a subnet, or any other tf_keras model from images to logits.
        recipe: How; without a teacher, ``distillation_weight`` must be 0.
        steps: Length of the learning rate's schedule.
        seed: Kept in the checkpoint; the data's own seed orders the images.
        teacher: A network whose probabilities it follows, images to logits.
        strategy: Of ``tf.distribute``; the subnet must be built inside its scope.

    Attributes:
        epoch: Epochs behind the weights.

    Raises:
        ConfigError: If the options do not go together.
    """

    def __init__(
        self,
        subnet: tf_keras.Model,
        recipe: TrainingRecipe | None = None,
        *,
        steps: int = 1,
        seed: int = 0,
        teacher: tf_keras.Model | None = None,
        strategy: tf.distribute.Strategy | None = None,
    ) -> None:
        """Makes the optimizer and the step's graph."""
        super().__init__(subnet, _described(subnet), recipe, steps, seed, teacher, strategy)
        if self.recipe.distillation_weight and teacher is None:
            raise ConfigError(
                f"distillation_weight is {self.recipe.distillation_weight}, but there is no "
                "teacher; give one."
            )

    def train(self, data: Batches | tf.data.Dataset, progress: Progress | None = None) -> float:
        """Trains for one epoch; arguments, result and errors as ``SupernetTrainer.train``."""
        nothing = tf.constant(0)
        return self._train(data, lambda: nothing, progress)

    def _forward(self, images: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
        return self.model(images, training=True)


def train_subnet(
    subnet: tf_keras.Model,
    data: Batches | tf.data.Dataset,
    epochs: int,
    *,
    recipe: TrainingRecipe | None = None,
    progress: Progress | None = None,
    teacher: tf_keras.Model | None = None,
    checkpoint: AnyPath | None = None,
    origin: Mapping[str, Any] | None = None,
) -> None:
    """Trains one network, float or quantization-aware, in place.

    Args:
        subnet: The network: a subnet, or any other tf_keras model from images to logits.
        data: Images and classes.
        epochs: Passes over the data.
        recipe: How to train. Where it keeps a moving average, the network ends with that.
        progress: Called after each step with (done, total), all epochs together.
        teacher: A network whose probabilities it follows.
        checkpoint: File that keeps the state after each epoch; if it exists, training goes on
            from there. It must have come from the same data, starting weights and options: a
            network with fresh weights is built after ``tf_keras.utils.set_random_seed``.
        origin: What else decides what the network becomes, to be told in the checkpoint and
            compared beside its weights at the start, the data and the options.

    Raises:
        ConfigError: If ``origin`` holds what JSON cannot.
        DataError: If the data's shapes or classes are not the network's, or images are neither
            bytes nor floats in [-1, 1); no step is taken on a batch that holds such.
        DivergedError: If a loss is no number.
        CheckpointError: If the checkpoint belongs to another training; names what differs.
    """
    if checkpoint is not None:
        checkpoint = checked_path("checkpoint", checkpoint)
    data = as_batches(data)
    total = max(1, epochs * len(data))
    trainer = SubnetTrainer(subnet, recipe, steps=total, teacher=teacher)
    came_from: Origin = {}
    if checkpoint is not None:
        came_from = {
            "starting_weights": weights_origin(subnet),
            **(origin or {}),
            "data": data_origin(data),
            "epochs": epochs,
        }
        as_json(came_from)  # rather now than after an epoch
        if checkpoint.exists():
            trainer.restore(checkpoint, came_from)

    def report(done: int, _: int) -> None:
        if progress is not None:
            progress(trainer.epoch * len(data) + done, total)

    while trainer.epoch < epochs:
        trainer.train(data, report)
        if checkpoint is not None:
            trainer.save(checkpoint, came_from)
    if trainer.recipe.ema_decay is not None:
        trainer.optimizer.finalize_variable_values(subnet.trainable_variables)


def share_right(
    logits_of: Callable[[np.ndarray], Any], images: np.ndarray, classes: np.ndarray
) -> float:
    """Returns the share of images that are classified right.

    Args:
        logits_of: Called with float32[batch, height, width, channels] in [-1, 1), in several
            threads.
        images: float[n, height, width, channels] in [-1, 1), or uint8.
        classes: Integers [n].
    """

    def hits(start: int) -> int:
        part = slice(start, start + _SCORED_AT_ONCE)
        logits = logits_of(to_floats(images[part]))
        return int(np.sum(np.argmax(logits, -1) == classes[part]))

    # Parts side by side: TensorFlow's threads share out one operation at a time, of which there
    # are many small ones.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return sum(pool.map(hits, range(0, len(images), _SCORED_AT_ONCE))) / len(images)


def check_distillation(
    recipe: TrainingRecipe,
    teacher: tf_keras.Model | None,
    image_shape: tuple[int, int, int],
    num_classes: int,
) -> None:
    """Checks that a supernet's recipe and its teacher go together.

    Raises:
        ConfigError: If there is no teacher for the recipe, or none that it follows, or it is one
            of other images or classes.
    """
    weight = recipe.distillation_weight
    if teacher is None:
        if weight and recipe.sandwich_random is None:
            raise ConfigError(
                f"distillation_weight is {weight}, but there is no teacher; give a teacher, or "
                "set sandwich_random so that the largest subnet is."
            )
        return
    checked_type("teacher", teacher, tf_keras.Model)
    if not weight:
        raise ConfigError("distillation_weight is 0, but there is a teacher; give it a share.")
    try:
        classes = teacher(tf.zeros((1, *image_shape)), training=False).shape[-1]
    except (ValueError, tf.errors.InvalidArgumentError) as error:
        raise ConfigError(f"teacher takes no images of {image_shape}: {error}") from error
    if classes != num_classes:
        raise ConfigError(
            f"teacher tells {classes} classes apart, and the subnets {num_classes}; give one of "
            "the same data set."
        )


def predict(subnet: tf_keras.Model, images: np.ndarray) -> np.ndarray:
    """Returns float32[n, num_classes] logits.

    Args:
        subnet: A network, float or quantized.
        images: float[n, height, width, channels] in [-1, 1), or uint8.

    Raises:
        DataError: If there are no images, or others than these.
    """
    images = np.asarray(images)
    check_images(images, _image_shape(subnet))
    return subnet.predict(to_floats(images), batch_size=_PREDICTED_AT_ONCE, verbose=0)


def _image_shape(model: tf_keras.Model) -> tuple[int | None, ...]:
    if isinstance(model, Supernet):
        return model.largest.image_shape
    return tuple(model.input_shape[1:])


def _described(model: tf_keras.Model) -> dict[str, Any]:
    if isinstance(model, Subnet):
        described: dict[str, Any] = json.loads(model.architecture.to_json())
        return described
    return {
        "network": model.name,
        "input_shape": list(model.input_shape[1:]),
        "num_classes": int(model.output_shape[-1]),
        "parameters": model.count_params(),
        "layers": layers_origin(model),
    }
