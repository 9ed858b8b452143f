"""How much work fits the minutes that there are: a plan, from the time that a step takes.

Everything here is arithmetic; ``speed.py`` measures.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from mcuformer_tflm.keras_models.architecture import Architecture, takes_patches
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.search.cost.memory import num_macs
from mcuformer_tflm.search.space import SearchSpace

# A teacher is worth its share of the time where there are minutes enough to follow it.
_TEACHER, _TEACHER_MINUTES, _MOST_TAUGHT = 0.2, 20, 24
# Shares of the rest of a search's time; what is left trains the chosen subnet.
_SPACES, _FURTHER, _SUBNETS = 0.35, 0.15, 0.1
# The same where networks are compared, each trained alone, and there is no supernet.
_NETWORKS = 0.5
# Of a specialisation's.
_SCORES = 0.2
# Of the time to train a subnet, with TF-MOT's rounding.
_QUANTIZED = 0.25
# Trainings of a space's evolution: walkers, and steps of each.
_EVOLUTIONS = ((5, 6), (4, 5), (3, 4), (3, 3), (3, 2), (2, 2), (2, 1), (1, 1))
# Rather fewer values in the space than fewer trainings than these, where graphs leave the time.
_WANTED_EVOLUTIONS = ((2, 2), (2, 1))
_WANTED_NETWORKS = ((3, 1), (2, 1))
_SCORED_A_VISIT = 5
# Fewer batches than these tell nothing, of a supernet and of a chosen subnet; an epoch may be less.
_FEWEST_SEARCHED, _FEWEST_TRAINED, _FEWEST_QUANTIZED = 100, 50, 30
_MOST_QUANTIZED = 2  # epochs: the zoo's recipes have one
_MOST_SUBNETS = 1050  # the paper's: 50, and 20 generations of as many
# A quantized step beside one in float: `mcuformer bench quantization`.
_QUANTIZED_STEP = 1.77
# Seconds of importing TensorFlow, calibration, conversion and pictures.
_FIXED_SECONDS = 25.0
# Passes of TFLM and of the float network over an image, beside a step's share of an image.
_TESTED_IMAGE = 0.7
_SAMPLES = 16  # networks behind a pair's mean size


@dataclasses.dataclass(frozen=True)
class Speed:
    """What a network took on this machine, in seconds.

    Attributes:
        step: A training step.
        trace: What the first step took beyond that: making its graph.
        score: Classifying the validation images once, where subnets are scored.
        macs: Multiply-accumulates of an image in the networks behind it, where it is scaled.
    """

    step: float
    trace: float
    score: float = 0.0
    macs: float = 0.0


@dataclasses.dataclass(frozen=True)
class Work:
    """So many epochs of so many batches."""

    epochs: int
    batches: int


@dataclasses.dataclass(frozen=True)
class SearchPlan:
    """How much the search does.

    Attributes:
        space: What is searched: the space without what would take too long.
        starts: Walkers of the space's evolution; or networks that are compared.
        steps: Steps of each; 1 of networks.
        visit: Work of a step.
        further: Epochs of as many batches for the best pair's supernet, afterwards.
        population: Subnets a generation.
        generations: Generations after the first.
        left_out: What more time would allow, in words.
    """

    space: SearchSpace
    starts: int
    steps: int
    visit: Work
    further: int
    population: int
    generations: int
    left_out: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """How much the chosen subnet is trained.

    Attributes:
        train: Work in float.
        quantized: Work with TF-MOT's rounding; no epoch where it is calibrated only.
        left_out: What more time would allow, in words.
    """

    train: Work
    quantized: Work
    left_out: tuple[str, ...]


def plan_search(
    space: SearchSpace,
    speed: Speed,
    minutes: float,
    *,
    epoch: int,
    batch_size: int,
    tested: int,
    spent: float = 0.0,
    networks: bool = False,
) -> SearchPlan:
    """Returns how much of a space is searched.

    As many trainings of supernets as get 100 batches each, or an epoch where that is less, at most
    the paper's 30; of networks alone at most one for each patch size and stem. Where the time is
    not enough for four, or three networks, the space loses its largest values first.

    Args:
        space: What would be searched.
        speed: Of a supernet of it.
        minutes: For the whole run, the chosen subnet's training included.
        epoch: Batches of an epoch.
        batch_size: Images of a batch.
        tested: Test images.
        spent: Seconds of the minutes that are gone.
        networks: Whether one network stands for a pair, and no supernet is trained.

    Raises:
        ConfigError: If the time is not enough for one short epoch of one supernet and of a subnet.
    """
    seconds = 60 * minutes - spent
    fewest = min(epoch, _FEWEST_SEARCHED)
    share, scored = (_NETWORKS, 1) if networks else (_SPACES, _SCORED_A_VISIT)

    def scaled(part: SearchSpace) -> Speed:
        ratio = mean_macs(part) / speed.macs
        return dataclasses.replace(speed, step=speed.step * ratio, score=speed.score * ratio)

    def affordable(part: SearchSpace, starts: int, steps: int) -> int:
        there = scaled(part)
        each = share * seconds / (starts * steps) - there.trace - scored * there.score
        return math.floor(each / there.step)

    # Graphs take their time however small the networks are.
    traced = share * seconds / max(speed.trace, 1e-9) / 2
    some = [pair for pair in _WANTED_NETWORKS if math.prod(pair) <= kinds(space)]
    some = some if networks else list(_WANTED_EVOLUTIONS)
    wanted = next((pair for pair in some if math.prod(pair) <= traced), (1, 1))

    def needed(part: SearchSpace) -> float:
        there, least = scaled(part), min(epoch, _FEWEST_TRAINED)
        visit = there.trace + fewest * there.step + scored * there.score
        trained = visit + there.trace + least * there.step + _ending(there, batch_size, tested)
        return max(visit / share, trained)

    narrowed = space
    while affordable(narrowed, *wanted) < fewest or needed(narrowed) > seconds:
        smaller = list(_without_largest(narrowed))
        if not smaller:
            break
        narrowed = min(smaller, key=mean_macs)
    _require(minutes, spent + needed(narrowed), fewest)
    evolutions = (
        [(count, 1) for count in range(kinds(narrowed), 0, -1)] if networks else _EVOLUTIONS
    )
    starts, steps = next(
        (pair for pair in evolutions if affordable(narrowed, *pair) >= fewest), (1, 1)
    )
    there = scaled(narrowed)
    visit = _work(max(fewest, affordable(narrowed, starts, steps)), epoch)
    told = [*_narrower(space, narrowed)]
    if networks:
        if starts < kinds(narrowed):
            told.append(f"networks: {starts}, for {kinds(narrowed)} patch sizes and stems")
        return SearchPlan(narrowed, starts, 1, visit, 0, 0, 0, tuple(told))
    further = math.floor(_FURTHER * seconds / (there.step * visit.batches))
    scored = max(8, min(_MOST_SUBNETS, int(_SUBNETS * seconds / max(there.score, 1e-9))))
    population = max(4, min(50, scored // 6))
    trainings, pairs = starts * steps, len(narrowed.pairs())
    if trainings < min(30, pairs):
        told.append(f"trainings of supernets: {trainings}, for {pairs} pairs")
    if visit.batches * visit.epochs < epoch:
        told.append(f"{visit.batches} of an epoch's {epoch} batches in each of them")
    return SearchPlan(
        narrowed, starts, steps, visit, further, population,
        max(0, scored // population - 1), tuple(told),
    )  # fmt: skip


def plan_teacher(speed: Speed, minutes: float, *, epoch: int) -> Work:
    """Returns how much a convolutional teacher is trained, in a fifth of the time.

    Args:
        speed: Of the teacher.
        minutes: For the whole run.
        epoch: Batches of an epoch.
    """
    batches = math.floor((_TEACHER * 60 * minutes - speed.trace) / speed.step)
    return _work(max(1, min(batches, _MOST_TAUGHT * epoch)), epoch)


def wants_teacher(minutes: float) -> bool:
    """Whether there is time to train a teacher first."""
    return minutes >= _TEACHER_MINUTES


def plan_scores(speed: Speed, minutes: float) -> tuple[int, int]:
    """Returns population and generations of an evolution of a trained supernet's subnets.

    Args:
        speed: Of a subnet of middle size.
        minutes: For the whole run.
    """
    scored = max(8, min(_MOST_SUBNETS, int(_SCORES * 60 * minutes / speed.score)))
    population = max(4, min(50, scored // 8))
    return population, max(0, scored // population - 1)


def plan_training(
    speed: Speed,
    seconds: float,
    *,
    epoch: int,
    batch_size: int,
    tested: int,
    rounded: bool = True,
) -> TrainingPlan:
    """Returns how much a chosen subnet is trained, in the time that is left.

    Args:
        speed: Of the subnet, its teacher included.
        seconds: Left, until the end of the run.
        epoch: Batches of an epoch.
        batch_size: Images of a batch.
        tested: Test images.
        rounded: Whether it shall be trained with TF-MOT's rounding too.
    """
    seconds -= _ending(speed, batch_size, tested)
    # Another graph, of the quantized network, takes its time too.
    quantized = math.floor((_QUANTIZED * seconds - 2 * speed.trace) / speed.step / _QUANTIZED_STEP)
    quantized = min(quantized, _MOST_QUANTIZED * epoch)
    told = []
    if not rounded or quantized < min(epoch, _FEWEST_QUANTIZED):
        if rounded:
            told.append("training with rounding: the model is calibrated only")
        quantized = 0
    else:
        seconds -= 2 * speed.trace + quantized * speed.step * _QUANTIZED_STEP
    trained = max(min(epoch, _FEWEST_TRAINED), math.floor((seconds - speed.trace) / speed.step))
    if trained < epoch:
        told.append(f"{epoch - trained} of an epoch's {epoch} batches for the chosen subnet")
    return TrainingPlan(
        _work(trained, epoch),
        _work(quantized, epoch) if quantized else Work(0, min(epoch, _FEWEST_QUANTIZED)),
        tuple(told),
    )


def check_specialisation(
    speed: Speed, minutes: float, *, epoch: int, batch_size: int, tested: int
) -> None:
    """Checks that there is time for one short epoch of the chosen subnet.

    Raises:
        ConfigError: If there is not.
    """
    least = min(epoch, _FEWEST_TRAINED)
    needed = speed.trace + least * speed.step + 8 * speed.score
    _require(minutes, needed + _ending(speed, batch_size, tested), least)


def _require(minutes: float, seconds: float, batches: int) -> None:
    if seconds > 60 * minutes:
        needed = math.ceil(seconds / 6) / 10
        raise ConfigError(
            f"minutes is {minutes:g}; an epoch of {batches} batches, and what comes before and "
            f"after it, take some {needed:g} minutes on this machine as busy as it is. Give "
            f"{needed:g} at least."
        )


def _ending(speed: Speed, batch_size: int, tested: int) -> float:
    """Returns the seconds from the last step on."""
    return _FIXED_SECONDS + tested * _TESTED_IMAGE * speed.step / batch_size


def _work(batches: int, epoch: int) -> Work:
    """Divides batches into epochs of equal numbers, none of more than there are."""
    epochs = max(1, math.ceil(batches / epoch))
    return Work(epochs, max(1, batches // epochs))


def mean_macs(space: SearchSpace) -> float:
    """Returns the mean multiply-accumulates of a space's networks, of some that are drawn."""
    rng = np.random.default_rng(0)
    return float(np.mean([num_macs(space.sample(rng)) for _ in range(_SAMPLES)]))


def kinds(space: SearchSpace) -> int:
    """Returns how many patch sizes and stems a space has together."""
    return len({(pair.patch_size, pair.stem) for pair in space.pairs()})


def middle_pair(space: SearchSpace) -> SearchSpace:
    """Returns the part of a space, of one supernet, whose networks are of middle size."""
    pairs = sorted(space.pairs(), key=mean_macs)
    return pairs[len(pairs) // 2]


def _without_largest(space: SearchSpace) -> Iterator[SearchSpace]:
    for factor in ("embed_dim", "depth", "num_heads", "mlp_ratio", "head_dim"):
        if len(getattr(space, factor)) > 1:
            yield dataclasses.replace(space, **{factor: getattr(space, factor)[:-1]})
    if len(space.patch_size) > 1:
        left = space.patch_size[1:]
        stems = (stem for stem in space.stem if any(takes_patches(stem, size) for size in left))
        yield dataclasses.replace(space, patch_size=left, stem=tuple(stems))


def _narrower(space: SearchSpace, narrowed: SearchSpace) -> Iterator[str]:
    for factor in ("patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio", "head_dim"):
        gone = [value for value in getattr(space, factor) if value not in getattr(narrowed, factor)]
        if gone:
            yield f"{factor} {', '.join(f'{value:g}' for value in gone)}"


def drawn(space: SearchSpace) -> Architecture:
    """Returns a network of a space that is of middle size."""
    rng = np.random.default_rng(0)
    networks = sorted((space.sample(rng) for _ in range(_SAMPLES)), key=num_macs)
    return networks[len(networks) // 2]
