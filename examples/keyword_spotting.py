"""Key words: search, train, quantize and run a network on a folder of Speech Commands' layout.

    python examples/make_spoken_words.py build/words
    python examples/keyword_spotting.py --data build/words --board stm32f427
    mcuformer verify build/keywords/model.tflite --data speech-commands:build/words

Interrupted, it goes on where it was: at most the epoch under way is lost.
"""

from __future__ import annotations

import dataclasses

from mcuformer_tflm import KEYWORD_98X40_SPACE, KEYWORD_SPACE, TrainingRecipe
from mcuformer_tflm.data import LOG_MEL_98X40, MFCC_49X10
from mcuformer_tflm.task import TaskSettings, run_and_print, speech_task, task_parser

FEATURES = {"49x10": (MFCC_49X10, KEYWORD_SPACE), "98x40": (LOG_MEL_98X40, KEYWORD_98X40_SPACE)}
# Erased rectangles do what masks of times and frequencies do (Park et al., SpecAugment, 2019).
RECIPE = TrainingRecipe(learning_rate=1e-3, label_smoothing=0.1, erasing_probability=0.25)


def main() -> None:
    """Runs the task."""
    parser = task_parser(__doc__, "stm32f427", "build/keywords")
    parser.add_argument("--features", choices=FEATURES, default="49x10")
    parser.add_argument("--epochs", type=int, default=30, help="of the chosen network")
    parser.add_argument("--batch-size", type=int, default=64)
    arguments = parser.parse_args()

    features, space = FEATURES[arguments.features]
    batch_size = 16 if arguments.smoke else arguments.batch_size
    data = speech_task(arguments.data, batch_size, RECIPE, features=features, seed=arguments.seed)
    settings = TaskSettings(
        dataclasses.replace(space, num_classes=len(data.labels)),
        starts=2,
        steps=3,
        search_epochs=5,
        search_recipe=RECIPE,
        train_epochs=arguments.epochs,
        train_recipe=RECIPE,
        quantized_epochs=5,
    )
    run_and_print(data, arguments, settings)


if __name__ == "__main__":
    main()
