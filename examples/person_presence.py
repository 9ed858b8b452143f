"""Person presence: whether a picture of 96x96 shows one, learnt from a folder of class folders.

    python examples/make_person_pictures.py build/persons
    python examples/person_presence.py --data build/persons --board stm32f427
    mcuformer verify build/person/model.tflite --data images-96x96x1:build/persons

The folder is laid out as the scripts of Visual Wake Words leave it: train and val, a folder for
each class in both. Interrupted, it goes on where it was: at most the epoch under way is lost.
"""

from __future__ import annotations

import dataclasses

from mcuformer_tflm import PERSON_SPACE, TrainingRecipe
from mcuformer_tflm.task import TaskSettings, folder_task, run_and_print, task_parser

RECIPE = TrainingRecipe(
    learning_rate=1e-3, label_smoothing=0.1, flip_probability=0.5, erasing_probability=0.25
)


def main() -> None:
    """Runs the task."""
    parser = task_parser(__doc__, "stm32f427", "build/person")
    parser.add_argument("--channels", type=int, choices=(1, 3), default=1, help="grey or RGB")
    parser.add_argument("--epochs", type=int, default=20, help="of the chosen network")
    parser.add_argument("--batch-size", type=int, default=64)
    arguments = parser.parse_args()

    batch_size = 16 if arguments.smoke else arguments.batch_size
    data = folder_task(
        arguments.data, 96, arguments.channels, batch_size, RECIPE, seed=arguments.seed
    )
    settings = TaskSettings(
        dataclasses.replace(
            PERSON_SPACE, channels=arguments.channels, num_classes=len(data.labels)
        ),
        starts=2,
        steps=2,
        search_epochs=3,
        search_recipe=RECIPE,
        train_epochs=arguments.epochs,
        train_recipe=RECIPE,
        quantized_epochs=3,
    )
    run_and_print(data, arguments, settings)


if __name__ == "__main__":
    main()
