"""``export_library``: writes a model as a library for the build systems of others."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal, get_args

from mcuformer_tflm.emulator.toolchain import kernel_folder
from mcuformer_tflm.firmware.build import check_buildable
from mcuformer_tflm.firmware.project import (
    SUPPORT_FOLDER,
    check_free,
    definitions,
    fill,
    ignoring_build_files,
    kernel_sources,
    opened_model,
)
from mcuformer_tflm.firmware.source import write_source
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_choice, checked_path
from mcuformer_tflm.keras_models.whole_file import whole_folder
from mcuformer_tflm.plan.planner import read_plan
from mcuformer_tflm.tflite.file import Model
from mcuformer_tflm.version import __version__

Form = Literal["zephyr", "arduino"]

_TEMPLATES = Path(__file__).parent / "library_support"
# Of a folder that an earlier export has written.
_MARK = ".mcuformer-library"


def export_library(model: Model, out: AnyPath, *, form: Form) -> int:
    """Writes a converted model, and the operators that it calls, for a build system of others.

    That system brings start-up, memories and devices; the library is two functions,
    ``mcuformer_init`` and ``mcuformer_run``, and all of its constants are read-only data in the
    flash that runs the program.

    Args:
        model: Path of a ``.tflite``, or its bytes.
        out: Folder of the library. What an earlier export wrote there is replaced; other files
            in it stay.
        form: ``"zephyr"``: a module with ``zephyr/module.yml``, Kconfig and CMake. ``"arduino"``:
            a library with ``library.properties`` and PlatformIO's ``library.json``.

    Returns:
        Bytes of the arena, a variable of the library.

    Raises:
        ConfigError: If there is no such form; or ``out`` is a folder of something else, cannot be
            written, or has a name in which CMake builds nothing.
        ModelError: If the model is damaged or foreign; names foreign operators.
        PlanError: If its memory plan does not hold.
    """
    out = checked_path("out", out)
    checked_choice("form", form, get_args(Form))
    check_buildable(out)
    content, graph = opened_model(model)
    plan = read_plan(graph)
    source = write_source(content, graph, plan, set(), library=True)
    check_free(out, _MARK)
    arena = sum(plan.region_bytes(region) for region in range(plan.num_regions))
    with whole_folder(out) as library:
        shutil.copytree(_TEMPLATES / form, library, dirs_exist_ok=True)
        sources = library / "src"
        shutil.copytree(kernel_folder(), sources / "kernels", ignore=ignoring_build_files)
        for header in ("mcuformer.h", "checksum.h"):
            shutil.copy(SUPPORT_FOLDER / header, sources / header)
        (sources / "model.cc").write_text(source.model, encoding="utf-8")
        (sources / "model_shape.h").write_text(source.shape, encoding="utf-8")
        (sources / "constants.S").write_text(source.assembly, encoding="utf-8")
        if form == "arduino":
            # The only ending of C++ that its builder knows.
            for path in sources.rglob("*.cc"):
                path.rename(path.with_suffix(".cpp"))
            # PlatformIO's builder names an object after its source, without the ending.
            for path in sources.rglob("*.S"):
                if path.with_suffix(".cpp").exists():
                    path.rename(path.with_stem(f"{path.stem}_assembly"))
        macro = definitions(graph)
        fill(library, {
            "ARENA_BYTES": f"{arena:,}",
            "CONSTANT_BYTES": f"{len(source.constants):,}",
            "KERNELS": "\n  ".join(kernel_sources(library)),
            "DEFINITIONS": macro,
            "FLAGS": f"-D{macro} " if macro else "",
            "VERSION": __version__,
        })  # fmt: skip
        (library / _MARK).touch()
    return arena
