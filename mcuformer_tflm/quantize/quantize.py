"""Quantization with TF-MOT, after training and in training."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf
import tf_keras

from mcuformer_tflm.keras_models.checked_values import (
    AnyPath,
    checked_function,
    checked_path,
    checked_real,
    checked_seed,
    checked_type,
    checked_whole,
)
from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError, QuantizationWarning
from mcuformer_tflm.keras_models.images import check_images, to_floats
from mcuformer_tflm.keras_models.network import Network, as_network
from mcuformer_tflm.keras_models.network_graph import NetworkGraph
from mcuformer_tflm.keras_models.quantization.calibration import (
    Calibration,
    calibrate,
    clipped_shares,
)
from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
from mcuformer_tflm.keras_models.training.batches import (
    Batches,
    as_batches,
    as_trained_on,
    batches,
    check_num_classes,
)
from mcuformer_tflm.keras_models.training.origin import Origin, weights_origin
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.training.trainers import Progress, train_subnet

# Below this many calibration images the ranges depend on which ones they are.
FEW_IMAGES = 32
# Share of a tensor's values beyond its range that is worth a warning.
MUCH_CLIPPED = 0.01

# A subnet becomes a subnet; of another model comes a ``Network``.
_Network = TypeVar("_Network", bound=tf_keras.Model)


def quantize(
    subnet: _Network,
    images: np.ndarray | Batches | tf.data.Dataset,
    classes: np.ndarray | None = None,
    *,
    epochs: int = 1,
    learning_rate: float = 3e-4,
    batch_size: int = 128,
    calibration_images: int = 1024,
    seed: int = 0,
    progress: Progress | None = None,
    config: QuantizationConfig | None = None,
    percentile: float = 100.0,
    frozen_epochs: float | None = None,
    recipe: TrainingRecipe | None = None,
    teacher: tf_keras.Model | None = None,
    checkpoint: AnyPath | None = None,
) -> _Network:
    """Returns a quantized copy of a trained network, trained on with its rounding in place.

    Every tensor that the runtime holds gets a TF-MOT quantizer; its range is first set by
    calibration images, then follows training, and is frozen towards the end. Layers compute as
    the integer operators do, to the last bit, and pass gradients straight through the rounding:
    the network gives what the converted model gives. With ``epochs=0`` it is calibrated only
    (post-training quantization), which takes seconds.

    What will cost accuracy is told as a ``QuantizationWarning`` that names the layer: fewer
    than 32 calibration images, channels whose weights are all zero or whose output never
    changes, and ranges that cut off more than 1 % of the values.

    Args:
        subnet: A trained float network: a ``Subnet``, or any functional ``tf_keras.Model`` of our
            layers, of one image.
        images: float[n, height, width, channels] in [-1, 1), or uint8; or batches of images
            and classes, from ``batches``, a loader or ``tf.data``, which need not fit in memory.
            Batches are taken as they are: calibration sees the first ones, augmented as in
            training, and ``seed``, ``batch_size`` and the augmentation of ``recipe`` are theirs.
        classes: int32[n]; not needed with ``epochs=0``, nor with batches.
        epochs: Passes over the images; 0 leaves it at calibration.
        learning_rate: Peak of the schedule, where there is no ``recipe``.
        batch_size: Images a step.
        calibration_images: Images that set the ranges, spread evenly over an array.
        seed: Of the order of the images.
        progress: Called after each step with (done, total).
        config: Widths of the integers, and what of their arithmetic is simulated; 8 bits and
            all of it by default.
        percentile: Share of each tensor's values, in percent, that calibration keeps within its
            range; 100 keeps all.
        frozen_epochs: Epochs at the end with frozen ranges; by default the last one, or the
            second half of a single one.
        recipe: How to train and to augment.
        teacher: A network whose probabilities it follows (``recipe.distillation_weight``).
        checkpoint: File that keeps the state after each epoch; if it exists, training goes on
            from there. It must have come from the same network, data and options.

    Returns:
        A ``Subnet`` of a subnet, otherwise a tf_keras model that has its ``quantized_copy``,
        ``float_copy``, ``freeze_ranges`` and ``update_weight_ranges``, too.

    Raises:
        ConfigError: If the network has a layer that is none of ours, which is named with what
            does instead; if it shall be trained and gives other outputs than logits; or a number
            is out of range.
        DataError: If there are no images or fewer than one batch to train on, they are not the
            network's or neither bytes nor floats in [-1, 1), or classes are missing or out of
            range.
        CheckpointError: If the checkpoint belongs to another training; names what differs.
    """
    network = as_network(subnet, "subnet")
    graph = network.graph()
    epochs = checked_whole("epochs", epochs, least=0)
    batch_size = checked_whole("batch_size", batch_size)
    calibration_images = checked_whole("calibration_images", calibration_images)
    seed = checked_seed(seed)
    percentile = checked_real("percentile", percentile, low=50, high=100, open_below=True)
    if frozen_epochs is None:
        frozen_epochs = 1.0 if epochs > 1 else 0.5
    frozen_epochs = checked_real("frozen_epochs", frozen_epochs, open_above=True)
    if recipe is None:
        recipe = TrainingRecipe(learning_rate=learning_rate)
    checked_type("recipe", recipe, TrainingRecipe)
    if config is not None:
        checked_type("config", config, QuantizationConfig)
    if teacher is not None:
        checked_type("teacher", teacher, tf_keras.Model)
    if checkpoint is not None:
        checkpoint = checked_path("checkpoint", checkpoint)
    if progress is not None:
        checked_function("progress", progress)
    num_classes = _num_classes(graph, epochs)
    data: Batches | None = None
    if isinstance(images, tf.data.Dataset | Batches):
        if classes is not None:
            raise DataError("The images are batches, which hold their classes; leave classes out.")
        given = as_batches(images)
        if num_classes is not None:
            check_num_classes(given, num_classes)
        chosen = _first_images(given, calibration_images)
        check_images(chosen, graph.image_shape)
        data = given if epochs else None
    else:
        images = np.asarray(images)
        check_images(images, graph.image_shape)
        if epochs:
            if classes is None:
                raise DataError("There are no classes to train on; give classes, or epochs=0.")
            data = batches(
                images, classes, batch_size, seed=seed, num_classes=num_classes, recipe=recipe
            )
        chosen = _spread(images, calibration_images)
    quantized: Any = network.uncalibrated_copy(config)
    found = calibrate(quantized, _floats(chosen, batch_size), percentile=percentile)
    _warn(quantized, found, len(chosen))
    if data is not None:
        freeze_at = epochs * len(data) - round(frozen_epochs * len(data))
        frozen = False

        def report(done: int, total: int) -> None:
            nonlocal frozen
            if done >= freeze_at and not frozen:
                quantized.freeze_ranges()
                frozen = True
            if progress is not None:
                progress(done, total)

        origin: Origin | None = None
        if checkpoint is not None:
            # Of the ranges: what they follow from, since they may differ by a bit elsewhere.
            origin = {
                "starting_weights": weights_origin(network),
                "calibration_images": calibration_images,
                "percentile": percentile,
                "frozen_epochs": frozen_epochs,
            }
        train_subnet(
            quantized,
            data,
            epochs,
            recipe=recipe,
            progress=report,
            teacher=teacher,
            checkpoint=checkpoint,
            origin=origin,
        )
        # The last step moved the weights, and a moving average replaces them.
        quantized.update_weight_ranges()
    _warn_of_clipping(quantized, _spread(chosen, 4 * FEW_IMAGES), batch_size)
    return quantized


def _num_classes(graph: NetworkGraph, epochs: int) -> int | None:
    classifiers = graph.classifiers()
    if len(graph.outputs) == len(classifiers) == 1:
        return classifiers[graph.outputs[0]]
    if epochs:
        raise ConfigError(
            f"The network gives {' and '.join(graph.outputs)}; classes train one output of logits "
            "and no other. Calibrate it with epochs=0, then train what comes back, an ordinary "
            "tf_keras model, with losses of your own: compile(...), fit(...), "
            "update_weight_ranges()."
        )
    return None


def _first_images(data: Batches, count: int) -> np.ndarray:
    found: list[np.ndarray] = []
    for images, _ in as_trained_on(data.epoch(0)):
        found.append(np.asarray(images))
        if sum(map(len, found)) >= count:
            break
    if not found:
        raise DataError("The batches hold no images to calibrate on; give some hundred.")
    return np.concatenate(found)[:count]


def _spread(images: np.ndarray, count: int) -> np.ndarray:
    # Not the first ones: data is often sorted by class.
    return images[np.linspace(0, len(images) - 1, min(count, len(images))).astype(int)]


def _floats(images: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(images), batch_size):
        yield to_floats(images[start : start + batch_size])


def _warn(
    quantized: Network, found: Mapping[tuple[str, str], Calibration], num_images: int
) -> None:
    if num_images < FEW_IMAGES:
        _tell(
            f"Only {num_images} images calibrate the ranges, which then depend on which ones "
            f"they are; give {FEW_IMAGES} or more, better some hundred."
        )
    for layer in quantized.operators():
        for name in layer.kernel_names:
            kernel = getattr(layer, name)
            dead = np.flatnonzero(~np.any(np.reshape(kernel, [-1, kernel.shape[-1]]), axis=0))
            if len(dead):
                _tell(
                    f"{layer.name}: the weights of {_channels(dead, kernel.shape[-1])} of its "
                    f"{name} are all zero; it is trained badly, or wider than it needs to be."
                )
    for (name, tensor), calibration in found.items():
        constant = calibration.constant_channels()
        if len(constant) and num_images > 1:
            _tell(
                f"{name}: {_channels(constant, np.size(calibration.lowest))} of its {tensor} "
                "never change on the calibration images."
            )


def _warn_of_clipping(quantized: Network, images: np.ndarray, batch_size: int) -> None:
    shares = clipped_shares(quantized, _floats(images, batch_size))
    for (name, tensor), share in shares.items():
        if share > MUCH_CLIPPED:
            _tell(
                f"{name}: the range of its {tensor} cuts off {share:.1%} of the values; raise "
                "percentile, or freeze the ranges later."
            )


def _channels(numbers: np.ndarray, total: int) -> str:
    first = ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
    return f"{len(numbers)} of {total} channels ({first})"


def _tell(text: str) -> None:
    warnings.warn(QuantizationWarning(text), stacklevel=3)
