"""A model as a library for Zephyr, Arduino and PlatformIO.

The forms are checked, and the sources are built as Zephyr and Arduino, which cannot be had where
this runs, build sources. PlatformIO's own tool builds it in ``scripts/check_platformio.sh``.
"""

import ctypes
import json
import subprocess

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from mcuformer_tflm.bench.models import one_block_vit, random_model
from mcuformer_tflm.cli import app
from mcuformer_tflm.emulator.toolchain import COMPILER, core_flags, find_tool
from mcuformer_tflm.firmware.library import export_library
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter

# What of Zephyr's CMake the module calls, on this machine's compiler.
ZEPHYR = """
cmake_minimum_required(VERSION 3.20)
project(application CXX ASM)
set(CONFIG_MCUFORMER y)
macro(zephyr_library_named name)
  add_library(${name} SHARED)
  set(library ${name})
  target_compile_options(${name} PRIVATE -fPIC -fno-rtti -fno-exceptions -Wall -Werror)
  # Whose position the assembly of constants does not ask for.
  target_link_options(${name} PRIVATE -Wl,--no-undefined)
endmacro()
macro(zephyr_library_sources)
  target_sources(${library} PRIVATE ${ARGN})
endmacro()
macro(zephyr_include_directories)
  target_include_directories(${library} PUBLIC ${ARGN})
endmacro()
macro(zephyr_library_compile_definitions)
  target_compile_definitions(${library} PRIVATE ${ARGN})
endmacro()
macro(zephyr_library_compile_options)
  target_compile_options(${library} PRIVATE ${ARGN})
endmacro()
add_subdirectory(module)
"""


@pytest.fixture(scope="module")
def model(fashion_mnist):
    return random_model(one_block_vit(), fashion_mnist.train_images[:2])


def test_a_zephyr_module_builds_with_its_own_cmake_and_gives_tflms_bytes(model, tmp_path):
    arena = export_library(model, tmp_path / "module", form="zephyr")
    assert arena == MicroInterpreter(model).plan.region_bytes(0)
    told = yaml.safe_load((tmp_path / "module/zephyr/module.yml").read_text())
    assert (tmp_path / "module" / told["build"]["kconfig"]).is_file()
    assert (tmp_path / "module" / told["build"]["cmake"] / "CMakeLists.txt").is_file()
    kconfig = (tmp_path / "module/zephyr/Kconfig").read_text()
    assert "config MCUFORMER\n" in kconfig
    assert f"{arena:,} bytes of RAM" in kconfig
    (tmp_path / "CMakeLists.txt").write_text(ZEPHYR)
    for command in (["-S", tmp_path, "-B", tmp_path / "build"], ["--build", tmp_path / "build"]):
        subprocess.run([find_tool("cmake"), *command], check=True, capture_output=True)
    library = ctypes.CDLL(str(tmp_path / "build/module/libmcuformer.so"))
    assert library.mcuformer_init()
    interpreter = MicroInterpreter(model)
    shape = interpreter.architecture.image_shape
    for image in np.random.default_rng(0).integers(-128, 128, (5, *shape)).astype(np.int8):
        output = np.zeros(10, np.int8)
        library.mcuformer_run(
            image.ctypes.data_as(ctypes.c_void_p), output.ctypes.data_as(ctypes.c_void_p)
        )
        np.testing.assert_array_equal(output, interpreter.run(image[None])[0])


def test_an_arduino_library_compiles_for_a_cortex_m_as_arduino_compiles(model, tmp_path):
    export_library(model, tmp_path, form="arduino")
    lines = (tmp_path / "library.properties").read_text().splitlines()
    told = dict(line.split("=", 1) for line in lines)
    wanted = ("name", "version", "author", "maintainer", "sentence", "paragraph", "category")
    assert all(told[field] for field in (*wanted, "url", "architectures"))
    platformio = json.loads((tmp_path / "library.json").read_text())
    assert platformio["name"] == told["name"]
    assert platformio["version"] == told["version"]
    sources = tmp_path / "src"
    assert (sources / told["includes"]).is_file()
    assert not list(sources.rglob("*.cc")), "its builder passes over such"
    files = [path for kind in ("cpp", "S") for path in sources.rglob(f"*.{kind}")]
    objects = [path.with_suffix(".o") for path in files]
    assert len(set(objects)) == len(objects), "PlatformIO names objects so"
    flags = [*core_flags("cortex-m4"), "-Os", "-std=gnu++17", "-I", sources]
    for file in files:
        check = [] if file.suffix == ".S" else ["-fsyntax-only"]
        subprocess.run(
            [find_tool(COMPILER), *flags, *check, "-c", file, "-o", tmp_path / "x.o"], check=True
        )
    # What a sketch names must be there.
    sketch = (tmp_path / "examples/classify/classify.ino").read_text()
    header = (sources / "mcuformer.h").read_text()
    for name in ("mcuformer_init", "mcuformer_run", "mcuformer_error", "MCUFORMER_IMAGE_BYTES"):
        assert name in sketch
        assert name in header


def test_a_form_that_is_none_and_a_folder_of_something_else_are_refused(model, tmp_path):
    with pytest.raises(ConfigError, match="form is 'mbed'"):
        export_library(model, tmp_path, form="mbed")
    (tmp_path / "mine").touch()
    with pytest.raises(ConfigError, match="holds other files"):
        export_library(model, tmp_path, form="zephyr")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_command_writes_either_form_again_over_what_it_wrote(model, tmp_path):
    (tmp_path / "model.tflite").write_bytes(model)
    for form in ("zephyr", "arduino", "arduino"):
        line = ["firmware", tmp_path / "model.tflite", "--form", form, "--out", tmp_path / form]
        result = CliRunner().invoke(app, list(map(str, line)))
        assert result.exit_code == 0, result.output
        assert "bytes" in result.stdout
