"""The best vision transformer for a board, found by an ordinary keras-tuner run.

    python examples/search_fashion_mnist.py --board stm32f427

Interrupted, it goes on where it was: at most the epoch under way is lost.

Several machines, or several processes, that share --directory (docs/search.md):

    export KERASTUNER_ORACLE_IP=192.168.0.1 KERASTUNER_ORACLE_PORT=8000
    KERASTUNER_TUNER_ID=chief    python examples/search_fashion_mnist.py
    KERASTUNER_TUNER_ID=worker-0 python examples/search_fashion_mnist.py
    KERASTUNER_TUNER_ID=worker-1 python examples/search_fashion_mnist.py
"""

from __future__ import annotations

import argparse
import os

import rich
import tensorflow as tf

from mcuformer_tflm import FASHION_MNIST_SPACE, get_board, normalise, summary
from mcuformer_tflm.data import fashion_mnist
from mcuformer_tflm.keras_models import batches
from mcuformer_tflm.search import (
    Budget,
    ScoreSettings,
    SpaceEvolution,
    SubnetEvolution,
    SubnetTuner,
    SupernetTuner,
)

STRATEGIES = {
    "none": lambda: None,
    "mirrored": tf.distribute.MirroredStrategy,  # all devices of this machine
    "multi-worker": tf.distribute.MultiWorkerMirroredStrategy,  # the machines of TF_CONFIG
}


def main() -> None:
    """Runs both searches and prints the chosen subnet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--board", default="stm32f427")
    parser.add_argument("--images", type=int, default=20_000, help="training images an epoch")
    parser.add_argument("--starts", type=int, default=3, help="walkers of the space's evolution")
    parser.add_argument("--steps", type=int, default=3, help="steps of each walker")
    parser.add_argument("--epochs", type=int, default=1, help="epochs of one step")
    parser.add_argument("--population", type=int, default=20, help="subnets of a generation")
    parser.add_argument("--generations", type=int, default=5)
    parser.add_argument("--strategy", choices=STRATEGIES, default="none")
    parser.add_argument("--directory", default="build/search")
    arguments = parser.parse_args()

    strategy = STRATEGIES[arguments.strategy]()  # before anything else touches TensorFlow
    data = fashion_mnist()
    validation = normalise(data.train_images[-2000:]), data.train_classes[-2000:]
    images = normalise(data.train_images[: arguments.images])
    train = batches(images, data.train_classes[: arguments.images], batch_size=128)
    budget = Budget.of_board(get_board(arguments.board))

    oracle = SpaceEvolution(
        FASHION_MNIST_SPACE,
        starts=arguments.starts,
        steps=arguments.steps,
        epochs=arguments.epochs,
    )
    tuner = SupernetTuner(
        oracle,
        budget,
        settings=ScoreSettings(accuracy_samples=8),
        strategy=strategy,
        directory=arguments.directory,
        project_name="spaces",
    )
    tuner.search(train, validation_data=validation)
    os.environ.pop("KERASTUNER_ORACLE_IP", None)
    if "chief" not in os.environ.get("KERASTUNER_TUNER_ID", "chief"):
        return  # the chief goes on alone: to score subnets takes minutes
    tuner.results_summary(num_trials=3)

    best_space = oracle.best_space(lambda space: budget.fits(space.smallest()))
    supernet, _ = tuner.load_supernet(best_space)
    subnets = SubnetEvolution(
        best_space,
        budget,
        population=arguments.population,
        generations=arguments.generations,
    )
    subnet_tuner = SubnetTuner(
        subnets, supernet, directory=arguments.directory, project_name="subnets"
    )
    subnet_tuner.search(validation_data=validation)
    subnet = subnet_tuner.get_best_models()[0]
    subnet.save_weights(f"{arguments.directory}/subnet.weights.h5")
    rich.print(summary(subnets.best_architecture()))


if __name__ == "__main__":
    main()
