"""The paper's search and training on ImageNet, or on any folder of class folders.

    python examples/imagenet.py --data /data/imagenet --board stm32f746-discovery
    python examples/imagenet.py --data any/folder --smoke

The folder holds train and val, a folder for each class in both; or only class folders, of which a
tenth each is then held out to choose by and to test on. Space, population, generations, epochs of
a step and augmentation are the paper's (appendix B); steps, epochs of the chosen network and
distillation are ours, since it gives none. The whole takes weeks on several GPUs and was never
run: no accuracy is claimed. --smoke goes through every step on small networks in minutes.

The chosen network follows the labels and a teacher: the supernet's largest network, or a tf_keras
model, images in [-1, 1) to logits, that --teacher names.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tf_keras

from mcuformer_tflm import SearchSpace, TrainingRecipe
from mcuformer_tflm.search import ScoreSettings
from mcuformer_tflm.task import TaskSettings, folder_task, run_and_print, task_parser

IMAGE_SIZE = 240
RECIPE = TrainingRecipe.imagenet()
DISTILLATION = dataclasses.replace(RECIPE, distillation_weight=0.5)


def main() -> None:
    """Runs the task."""
    parser = task_parser(__doc__, "stm32f746-discovery", "build/imagenet")
    parser.add_argument("--teacher", type=Path, help="a saved tf_keras model")
    parser.add_argument("--epochs", type=int, default=100, help="of the chosen network")
    parser.add_argument("--batch-size", type=int, default=1024)
    arguments = parser.parse_args()

    batch_size = 8 if arguments.smoke else arguments.batch_size
    data = folder_task(arguments.data, IMAGE_SIZE, 3, batch_size, RECIPE, seed=arguments.seed)
    settings = TaskSettings(
        SearchSpace(num_classes=len(data.labels)),
        starts=5,
        steps=6,
        search_epochs=30,
        score=ScoreSettings(),
        population=50,
        generations=20,
        search_recipe=RECIPE,
        train_epochs=arguments.epochs,
        train_recipe=DISTILLATION,
        quantized_epochs=10,
        quantized_learning_rate=1e-4,
    )
    teacher = tf_keras.models.load_model(arguments.teacher) if arguments.teacher else None
    run_and_print(data, arguments, settings, teacher=teacher)


if __name__ == "__main__":
    main()
