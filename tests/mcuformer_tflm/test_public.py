import ast
import importlib
import importlib.resources
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from public_names import public_functions

import mcuformer_tflm
from mcuformer_tflm import SearchSpace, build_supernet
from mcuformer_tflm.keras_models.exceptions import ConfigError

ROOT = Path(__file__).parents[2]
# Parameters behind the second that may be given by their place: Keras' own signature, and
# classes, which are no option but belong to the images before them.
BY_PLACE = {
    ("ConvStem.call", "training"),
    ("FullyConnected.call", "training"),
    ("PatchEmbed.call", "training"),
    ("Supernet.call", "training"),
    ("quantize", "classes"),
}
_FOLDERS = ("mcuformer_tflm", "keras_models", "search", "custom_ops", "examples", "scripts")


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


@pytest.mark.parametrize("package", [None, "data", "keras_models", "plan", "search"])
def test_options_behind_the_second_argument_are_given_by_name(package):
    by_place = set()
    for name, function in public_functions(package):
        parameters = [
            parameter
            for parameter in inspect.signature(function).parameters.values()
            if parameter.name != "self" and parameter.kind != parameter.KEYWORD_ONLY
        ]
        by_place |= {
            (name, parameter.name)
            for parameter in parameters[2:]
            if parameter.default is not parameter.empty
        }
    assert by_place - BY_PLACE == set()


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


def _without_encoding(tree):
    """Yields the lines that open a text file in the encoding of the locale."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        if name == "open":
            # The mode is the second argument of the function and the first of the method, whose
            # first argument is a string of these letters; PIL.Image.open and wave.open have none.
            place = 1 if isinstance(call.func, ast.Name) else 0
            mode = given.get("mode", call.args[place] if len(call.args) > place else None)
            letters = mode.value if isinstance(mode, ast.Constant) else "r" if not mode else "b"
            text = set(letters) <= set("rwax+t")
        else:
            # The function of that name reads UTF-8 unless it is told otherwise.
            text = name in {"read_text", "write_text"} and isinstance(call.func, ast.Attribute)
        if text and "encoding" not in given:
            yield call.lineno


def test_text_is_read_and_written_as_utf_8_whatever_the_locale():
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder in _FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in _without_encoding(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found, "give encoding="
    wrong = "open(p); open(p, 'w'); p.open(); p.open('w'); p.read_text(); p.write_text(t)"
    right = "open(p, 'rb'); p.open('wb'); p.read_bytes(); Image.open(p); open(p, encoding='utf-8')"
    assert len(list(_without_encoding(ast.parse(wrong)))) == 6
    assert not list(_without_encoding(ast.parse(right)))
