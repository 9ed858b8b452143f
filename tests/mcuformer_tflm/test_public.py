import importlib
import importlib.resources
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import mcuformer_tflm
from mcuformer_tflm import SearchSpace, build_supernet
from mcuformer_tflm.keras_models.exceptions import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", mcuformer_tflm.__all__)
def test_every_public_name_is_there_and_documented(name):
    value = getattr(mcuformer_tflm, name)
    assert value is not None
    if callable(value):
        assert value.__doc__


def test_the_version_is_that_of_the_installed_package():
    with open(ROOT / "pyproject.toml", "rb") as file:
        declared = tomllib.load(file)["project"]["version"]
    assert mcuformer_tflm.__version__ == declared


def test_dir_names_all_that_loads_on_first_use():
    code = "import mcuformer_tflm as m; assert {*m.__all__, '__version__'} <= set(dir(m))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_type_checkers_of_users_read_our_annotations():
    assert importlib.resources.files("mcuformer_tflm").joinpath("py.typed").is_file()


def test_convert_stays_a_function_whatever_is_imported():
    importlib.import_module("mcuformer_tflm.convert.graph")
    from mcuformer_tflm import convert

    assert callable(convert)


def test_default_supernet_is_the_papers_and_gives_a_subnet():
    supernet = build_supernet()
    assert supernet.largest.image_size == 240
    assert supernet.largest.num_classes == 1000
    assert supernet.largest.patch_size == 16
    architecture = SearchSpace().at(16, 0.95).sample(np.random.default_rng(0))
    logits = supernet.extract(architecture)(np.zeros((1, 240, 240, 3), np.float32))
    assert logits.shape == (1, 1000)


def test_pair_outside_the_space_is_refused():
    with pytest.raises(ConfigError, match="patch_size is 7"):
        build_supernet(patch_size=7)


def test_keras_3_of_the_user_keeps_working_beside_ours():
    code = (
        "import keras, numpy as np; import mcuformer_tflm.keras_models.subnet; "
        "from mcuformer_tflm import FASHION_MNIST_SPACE as s; "
        "from mcuformer_tflm.keras_models.subnet import build_subnet; "
        "build_subnet(s.smallest()); assert keras.__version__.startswith('3'); "
        "m = keras.Sequential([keras.layers.Dense(2)]); m(np.zeros((1, 3), 'float32')); "
        "print(m.count_params())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "8"


def test_importing_the_package_loads_no_tensorflow():
    code = "import sys, mcuformer_tflm; assert 'tensorflow' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
