"""A run's report and record with every part that a page may have, of invented figures."""

import dataclasses

import numpy as np

from mcuformer_tflm.quantize.report import LayerError
from mcuformer_tflm.search.oracles.evolution_step import Visit
from mcuformer_tflm.search.space import SearchSpace
from mcuformer_tflm.task.page.record import (
    Curve,
    Operator,
    RunRecord,
    Scores,
    SpacePath,
    confusion_of,
    pictures_of,
    versions,
)
from mcuformer_tflm.task.report import Report
from mcuformer_tflm.zoo.catalogue import model_path

SPACE = SearchSpace(
    image_size=32, channels=3, num_classes=3, patch_size=(4, 8), rank_ratio=(0.5, 0.7, 0.9),
    embed_dim=(8, 12), depth=1, num_heads=(1, 2), mlp_ratio=(1.0, 2.0), head_dim=4,
    stem=("patch", "conv"),
)  # fmt: skip
VISITS = [((0, 0, 0), 1, 0.6, 0), ((1, 1, 1), 1, 0.9, 1), ((1, 1, 0), 2, 0.8, 0),
          ((1, 1, 0), 3, 0.85, 0), ((1, 2, 1), 2, 1.2, 1)]  # fmt: skip
REPORT = Report(
    "stm32f427", '{"embed_dim": 32}', 120, 0.9, 0.85, 0.93, 14400, 20000, 9000, 8800, 188194,
    400000, 262144, 2002944, 61.5, 7, instructions_estimated=12_345_678,
    milliseconds_estimated=73.4, milliseconds_budget=50.0, data="images-32x32x3:pictures",
    minutes=2.0, left_out=("embed_dim 64",),
)  # fmt: skip


def full_record(labels=("cat", "dog", "fish"), command="mcuformer search run.toml"):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (120, 32, 32, 3), np.uint8)
    classes, logits = rng.integers(0, 3, 120), rng.normal(size=(120, 3)) * 4
    layers = [
        LayerError("stem", "PatchEmbed", 31.5, 31.5, 40.0, 0.001, -2.0, 1.9, 8),
        LayerError(f"{labels[0]}_pool", "MeanPool", float("inf"), 28.0, None, 0.0, -1.0, 1.0, 8),
    ]
    return RunRecord(
        labels,
        command=command,
        versions=versions(),
        curves=(Curve.of("the chosen network", list(2 / np.arange(1, 500))),),
        path=SpacePath(SPACE, tuple(Visit(*visit) for visit in VISITS)),
        scores=Scores(
            (0.7, 0.8, 0.75), (True, True, False),
            {"memory_bytes": (8000.0, 14000.0, 15000.0), "flash_bytes": (9e4, 1.9e5, 2e5),
             "milliseconds": (40.0, 73.0, 80.0)},
            {"memory_bytes": 16384.0, "milliseconds": 50.0}, 1,
        ),
        layers=tuple(layers),
        operators=(Operator("stem", 1e6), Operator("block_0_mlp", 8e6), Operator("head", 5e4)),
        confusion=confusion_of(classes, logits.argmax(-1), 3),
        pictures=pictures_of(images, classes, logits),
    )  # fmt: skip


def run_folder(folder, record=None, **changed):
    """Writes what a run leaves, but for its page."""
    folder.mkdir(parents=True, exist_ok=True)
    dataclasses.replace(REPORT, **changed).write(folder / "report.json")
    (record or full_record()).write(folder / "record.json")
    (folder / "model.tflite").write_bytes(model_path("fashion_mnist_16k").read_bytes())
    return folder
