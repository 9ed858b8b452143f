"""The public face: what it names, how that loads, and that documents and examples use no more."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import tf_keras
from code_blocks import (
    DOCUMENTS,
    EXAMPLES,
    NOTEBOOKS,
    ROOT,
    code_cells,
    prose,
    python_blocks,
    read,
)
from safetensors.numpy import save_file

import mcuformer_tflm
from mcuformer_tflm import SearchSpace, build_subnet, normalise
from mcuformer_tflm.bench.models import random_vit
from mcuformer_tflm.data import ImageData
from mcuformer_tflm.lazy_names import load_on_first_use

ROOMS = [
    name
    for name in mcuformer_tflm.__all__
    if isinstance(getattr(mcuformer_tflm, name), types.ModuleType)
]
FACES = ["mcuformer_tflm", *(f"mcuformer_tflm.{room}" for room in ROOMS)]
# Documents for contributors may look behind the faces: these, and no more.
BEHIND = {
    (document, module)
    for document in ("docs/adding-an-operator.md", "examples/notebooks/custom_operator.ipynb")
    for module in ("mcuformer_tflm.custom_ops.reference.gelu", "mcuformer_tflm.emulator.machine")
}
FOR_CONTRIBUTORS = {"CONTRIBUTING.md", "docs/adding-an-operator.md", "docs/architecture.md"}
# Names in the documents that are also those of functions, but not meant as such.
# Among them a method of Keras, the end of a folder's name, and fields of a board's file.
OTHER_THINGS = {
    "address", "checksum", "cycles_per_instruction", "fixed_vit", "predict", "run", "sizes",
    "stock_network",
}  # fmt: skip
SOURCES = ("custom_ops", "docs", "examples", "keras_models", "mcuformer_tflm", "search", "tests")
OF_TFLM = {"micro/kernels/kernel_util.cc"}
WITH_CODE = [document for document in DOCUMENTS if python_blocks(document)]
TINY = SearchSpace(
    28, 1, num_classes=10, patch_size=(4, 14, 16), rank_ratio=(0.8, 0.95), embed_dim=(8, 16),
    depth=(1,), num_heads=(1,), mlp_ratio=(2.0,), head_dim=8,
)  # fmt: skip


def _dotted(node):
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else [""]


def used(tree):
    """Yields what code takes from this package, as (module, name); of a module alone, None."""
    bound = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == FACES[0]:
            for alias in node.names:
                yield node.module, alias.name
                bound[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == FACES[0]:
                    yield alias.name, None
                    bound[alias.asname or FACES[0]] = alias.name if alias.asname else FACES[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            first, *rest = _dotted(node)
            face = bound.get(first)
            for name in rest:
                if face not in FACES:
                    break
                yield face, name
                face = f"{face}.{name}"


def beyond_the_faces(tree):
    """What code uses that no face names."""
    return {
        (module, name)
        for module, name in used(tree)
        if module not in FACES
        or (name is not None and name not in importlib.import_module(module).__all__)
    }


@pytest.mark.parametrize("name", [*WITH_CODE, *EXAMPLES, *NOTEBOOKS])
def test_documents_and_examples_import_from_the_faces_alone(name):
    if name in NOTEBOOKS:
        blocks = ["\n".join(code_cells(name))]
    else:
        blocks = python_blocks(name) if name in DOCUMENTS else [read(name)]
    found = {use for block in blocks for use in beyond_the_faces(ast.parse(block, name))}
    assert {module for module, _ in found} == {module for where, module in BEHIND if where == name}
    for module, value in found:
        assert hasattr(importlib.import_module(module), value)


@pytest.mark.parametrize(
    ("code", "uses_more"),
    [
        ("from mcuformer_tflm.search import SpaceEvolution, board", True),
        ("from mcuformer_tflm.search.board import get_board", True),
        ("from mcuformer_tflm import custom_ops", True),
        ("import mcuformer_tflm.search.space as space", True),
        ("import mcuformer_tflm\nmcuformer_tflm.search.space.SearchSpace()", True),
        ("import mcuformer_tflm as m\nm.no_such_name()", True),
        ("from mcuformer_tflm import search as s\ns.board.get_board('stm32f746')", True),
        ("from mcuformer_tflm.search import SpaceEvolution, get_board", False),
        ("import mcuformer_tflm\nmcuformer_tflm.search.get_board('stm32f746').core", False),
        ("from mcuformer_tflm import data\nimport mcuformer_tflm.zoo\ndata.load('x')", False),
        ("import numpy.typing, tf_keras\nfrom tensorflow.data import Dataset", False),
    ],
)
def test_what_is_no_name_of_a_face_is_found_in_code(code, uses_more):
    assert bool(beyond_the_faces(ast.parse(code))) == uses_more


def defined():
    """Names of public functions, classes and constants that the modules of the package define."""
    package = Path(mcuformer_tflm.__file__).parent
    for folder in (package, package / "keras_models", package / "search"):
        for path in folder.rglob("*.py"):
            if "cli" in path.stem or "cli" in path.parent.name:
                continue  # its functions are commands
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                targets = node.targets if isinstance(node, ast.Assign) else [node]
                for target in targets:
                    yield getattr(target, "id", getattr(target, "name", "_"))


def test_functions_and_classes_that_documents_speak_of_are_in_a_face():
    named = {name for face in FACES for name in importlib.import_module(face).__all__}
    known = {name for name in defined() if not name.startswith("_")}
    missing = {}
    for document in set(DOCUMENTS) - FOR_CONTRIBUTORS:
        for code in re.findall(r"`([^`\n]+)`", prose(document)):
            words = set(re.findall(r"(?<![\w./])[A-Za-z_]\w*(?=\(|$|\.)", code))
            for word in words & known - named - OTHER_THINGS:
                missing.setdefault(word, set()).add(document)
    assert not missing
    assert {"SpaceEvolution", "quantize", "STATE_BYTES", "load"} <= known


def test_files_that_documents_name_are_there():
    there = {path.as_posix() for folder in SOURCES for path in (ROOT / folder).rglob("*.*")}
    pattern = r"`((?:\w+/)+\w[\w.-]*\.(?:py|cc|h|md|toml)|\w+\.py)\b"
    missing = {
        (document, path)
        for document in set(DOCUMENTS) - {"CHANGELOG.md"}  # which tells of earlier ones
        for path in re.findall(pattern, prose(document))
        if path not in OF_TFLM
        and "NAME" not in path  # stands for any
        and not any(file.endswith(f"/{path}") for file in there)
    }
    assert not missing


@pytest.mark.parametrize("face", FACES)
def test_a_face_names_what_it_loads_and_type_checkers_see_the_same(face):
    module = importlib.import_module(face)
    tree = ast.parse(inspect.getsource(module))
    typed = {}
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.body:
                typed |= {alias.name: statement.module for alias in statement.names}
    homes = {name: f"{face}.{home}" for name, home in module._HOMES.items()}
    rooms = dict.fromkeys(ROOMS, face) if face == FACES[0] else {}
    assert homes | rooms == typed
    assert set(module.__all__) == set(typed)
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        value = getattr(module, name)
        assert not callable(value) or value.__doc__


def test_the_package_tells_which_rooms_are_faces():
    told = re.findall(r"^- ``(mcuformer_tflm\.\w+)``", mcuformer_tflm.__doc__, re.MULTILINE)
    assert sorted(told) == FACES[1:]


def test_importing_the_faces_loads_no_library():
    code = (
        f"import sys, {', '.join(FACES)}; libraries = 'numpy', 'tensorflow', 'tf_keras', 'PIL', "
        "'keras_tuner', 'rich', 'typer'; assert not [x for x in libraries if x in sys.modules]"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A package of one name, ``door``, that is also its submodule's."""
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "__init__.py").write_text("")
    (tmp_path / "house" / "door.py").write_text("def door():\n    return 'open'\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("house")
    for name in [name for name in sys.modules if name.partition(".")[0] == "house"]:
        del sys.modules[name]


@pytest.mark.parametrize("imported_first", [False, True])
def test_a_name_goes_before_the_submodule_of_the_same_name(house, imported_first):
    load_on_first_use("house", {"door": "door"})
    if imported_first:
        importlib.import_module("house.door")
    assert house.door() == "open"


def test_a_name_that_is_not_there_is_refused_and_the_nearest_one_told(house):
    load_on_first_use("house", {"door": "door"})
    with pytest.raises(AttributeError, match="module 'house' has no attribute 'doors'") as refused:
        house.doors  # noqa: B018
    assert (refused.value.name, refused.value.obj) == ("doors", house)
    assert "door" in dir(house)


def checking(function, result):
    """A function that takes what another one takes, and gives a result that is at hand."""

    def stand_in(*args, **kwargs):
        inspect.signature(function).bind(*args, **kwargs)
        return result

    return stand_in


@pytest.fixture(scope="module")
def few(fashion_mnist):
    return ImageData(
        "few", fashion_mnist.labels,
        fashion_mnist.train_images[:128], fashion_mnist.train_classes[:128],
        fashion_mnist.test_images[:32], fashion_mnist.test_classes[:32],
    )  # fmt: skip


@pytest.fixture(scope="module")
def at_hand(few):
    """What the documents take as given."""
    tf_keras.utils.set_random_seed(0)
    subnet = build_subnet(TINY.at(14, 0.8).largest())
    return {
        "images": few.train_images, "classes": few.train_classes, "labels": few.labels,
        "test_images": few.test_images, "test_classes": few.test_classes,
        "subnet": subnet, "quantized": subnet.quantized_copy([normalise(few.train_images)]),
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize("document", WITH_CODE)
def test_code_of_documents_runs(document, at_hand, few, tmp_path, monkeypatch):
    # Small spaces and few images in the place of large ones; the text stays as it is.
    tf_keras.utils.set_random_seed(0)
    monkeypatch.setattr(mcuformer_tflm, "SearchSpace", lambda: TINY)
    monkeypatch.setattr(mcuformer_tflm, "FASHION_MNIST_SPACE", TINY)
    monkeypatch.setattr(mcuformer_tflm.data, "fashion_mnist", lambda: few)
    if document == "docs/pretrained.md":
        save_file(random_vit(depth=1), tmp_path / "deit_tiny_patch16_224.safetensors")
    # README.md's is trained
    if document in ("docs/pretrained.md", "docs/quantization.md"):
        taken = checking(mcuformer_tflm.quantize, at_hand["quantized"])
        monkeypatch.setattr(mcuformer_tflm, "quantize", taken)
    monkeypatch.chdir(tmp_path)
    names = dict(at_hand)
    for block in python_blocks(document):
        exec(compile(block, document, "exec"), names)
