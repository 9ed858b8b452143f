"""An ordinary keras-tuner run: evolve a search space, then pick a subnet for a board.

    python examples/keras_tuner_search.py --board stm32f427 --images 20000

What `mcuformer demo` does first, spelled out; interrupted, it goes on where it was.
"""

from __future__ import annotations

import argparse

import rich

from mcuformer_tflm import FASHION_MNIST_SPACE, get_board, normalise, summary
from mcuformer_tflm.datasets import fashion_mnist
from mcuformer_tflm.keras_models.training import batches
from mcuformer_tflm.search.budget import Budget
from mcuformer_tflm.search.space_evolution import SpaceEvolution
from mcuformer_tflm.search.subnet_evolution import SubnetEvolution
from mcuformer_tflm.search.supernet_tuner import ScoreSettings, SubnetTuner, SupernetTuner


def main() -> None:
    """Runs both searches and prints the chosen subnet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--board", default="stm32f427")
    parser.add_argument("--images", type=int, default=20_000, help="training images an epoch")
    parser.add_argument("--starts", type=int, default=2, help="walkers of the space's evolution")
    parser.add_argument("--steps", type=int, default=2, help="steps of each walker")
    parser.add_argument("--directory", default="build/search")
    arguments = parser.parse_args()

    data = fashion_mnist()
    validation = normalise(data.train_images[-2000:]), data.train_classes[-2000:]
    train = batches(
        normalise(data.train_images[: arguments.images]),
        data.train_classes[: arguments.images],
        batch_size=128,
        seed=0,
    )
    budget = Budget.of_board(get_board(arguments.board))

    spaces = SpaceEvolution(
        FASHION_MNIST_SPACE, starts=arguments.starts, steps=arguments.steps, epochs=1
    )
    tuner = SupernetTuner(
        spaces,
        budget.fits,
        ScoreSettings(accuracy_samples=4),
        directory=arguments.directory,
        project_name="spaces",
    )
    tuner.search(train, validation_data=validation)
    tuner.results_summary(num_trials=3)

    best = spaces.best_space(lambda space: budget.fits(space.smallest()))
    supernet, _ = tuner.load_supernet(best)
    subnets = SubnetEvolution(best, budget.fits, str(budget), population=8, generations=2)
    subnets.verbose = 0
    SubnetTuner(subnets, supernet, directory=arguments.directory, project_name="subnets").search(
        validation_data=validation
    )
    rich.print(summary(subnets.best_architecture()))


if __name__ == "__main__":
    main()
