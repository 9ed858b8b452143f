"""Which outputs of a network are logits of which classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.labels import class_names
from mcuformer_tflm.keras_models.network_graph import NetworkGraph

# Class names of the only output, or of several outputs by name.
Labels = Sequence[str] | Mapping[str, Sequence[str]]


def output_labels(
    labels: Labels | None, graph: NetworkGraph, *, needed: bool
) -> dict[str, tuple[str, ...]]:
    """Returns the class names of each output that has some, checked.

    Args:
        labels: What the user gave.
        graph: The network.
        needed: Whether it is a classifier, whose labels cannot be left out.

    Raises:
        ConfigError: If there is no such output, it is no logits, several outputs could be meant,
            or the labels are not one name a class.
    """
    if labels is None and not needed:
        return {}
    if not isinstance(labels, Mapping) or needed:
        if len(graph.outputs) > 1:
            example = f"labels={{{graph.outputs[0]!r}: [...]}}"
            raise ConfigError(
                f"The network gives {' and '.join(graph.outputs)}; say which output the labels "
                f"belong to, as in {example}, or give labels=None."
            )
        labels = {graph.outputs[0]: labels}  # type: ignore[dict-item]
    classifiers = graph.classifiers()
    found = {}
    for name, given in labels.items():
        if name not in graph.outputs:
            raise ConfigError(
                f"labels names {name!r}, which is no output; the network gives "
                f"{' and '.join(graph.outputs)}."
            )
        if name not in classifiers:
            raise ConfigError(
                f"{name} gives {list(graph.node(name).shape)} an image and is no logits; those "
                "come from a FullyConnected without residual, one value a class. Leave its labels "
                "out: labels=None, or labels of the other outputs by name."
            )
        found[name] = class_names(given, classifiers[name])
    return found
