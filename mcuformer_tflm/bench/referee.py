"""Rows of ``mcuformer bench accuracy`` in which TFLite's converter judges the shipped models."""

from __future__ import annotations

from mcuformer_tflm import data as datasets
from mcuformer_tflm.bench.figures import named
from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.referee.referee import Referee
from mcuformer_tflm.search.progress import Report
from mcuformer_tflm.zoo.catalogue import float_model, model_card, model_names, model_path

_CALIBRATION_IMAGES = 512
_JUDGED_IMAGES = 2_000


def referee_rows(progress: Report) -> list[Row]:
    """Holds each model of the zoo against its float network in TFLite, float and int8."""
    rows = []
    for name in model_names():
        data = datasets.load(model_card(name).data)

        report = named(progress, name)
        referee = Referee(
            float_model(name), data.train_images[:_CALIBRATION_IMAGES], progress=report
        )
        images, classes = data.test_images[:_JUDGED_IMAGES], data.test_classes[:_JUDGED_IMAGES]
        verdict = referee.judge(model_path(name).read_bytes(), images, classes, progress=report)
        note = f"first {verdict.images:,} test images; float is the network before QAT"
        for way in ("float_keras", "float_tflite", "int8_tflite", "int8_ours"):
            opinion = getattr(verdict, way)
            for metric, value, unit in (
                ("top1", opinion.top1, "share"),
                ("agreement", opinion.agreement, "share"),
                ("sqnr", opinion.sqnr_db, "dB"),
            ):
                # Infinite where nothing differs, which JSON cannot say.
                if value != float("inf"):
                    case = f"referee/{name}"
                    rows.append(Row("accuracy", case, f"{metric}_{way}", value, unit, note=note))
        rows.append(
            Row("accuracy", f"referee/{name}", "float_error", verdict.float_error, "share",
                note="largest difference of the two float networks, of the largest logit")
        )  # fmt: skip
    return rows
