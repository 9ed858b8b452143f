import dataclasses
import json
import runpy
import shutil
import zipfile
from io import BytesIO
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from mcuformer_tflm import FASHION_MNIST_SPACE, convert
from mcuformer_tflm import data as datasets
from mcuformer_tflm.convert.metadata import (
    ARCHITECTURE_NAME,
    read_architecture,
    read_labels,
    read_output_labels,
    rewrite_metadata,
    write_metadata,
)
from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError, ModelError
from mcuformer_tflm.keras_models.labels import class_names
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.search.cost.model_file import model_bytes
from mcuformer_tflm.task.data import TaskData
from mcuformer_tflm.task.flow import TaskSettings, run_task
from mcuformer_tflm.tflite.file import add_metadata, pack, read_files, unpack
from mcuformer_tflm.tflite.model_graph import read_graph
from mcuformer_tflm.zoo import catalogue as zoo
from mcuformer_tflm.zoo.card import digest

SHIPPED = [
    path
    for folder in (zoo.SHIPPED, zoo.BASELINES)
    for path in sorted(folder.glob(f"*/{zoo.MODEL_FILE}"))
    if ARCHITECTURE_NAME.encode() in path.read_bytes()
]

# All that str.splitlines knows, and what only looks like it.
_SEPARATORS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_LETTERS = st.sampled_from(f"ab ä猫\t\ufeff\xa0\x1f\u200b{_SEPARATORS}")


def _metadata(model):
    from tensorflow_lite_support.metadata.python import metadata

    displayer = metadata.MetadataDisplayer.with_model_buffer(bytearray(model))
    return json.loads(displayer.get_metadata_json())["subgraph_metadata"][0]


@given(st.lists(st.text(_LETTERS, max_size=4), min_size=1, max_size=4))
def test_labels_are_refused_or_read_back_from_the_model_as_they_were_given(
    model, architecture, labels
):
    plain = [label.rstrip("\r\n") for label in labels]
    fine = len(set(plain)) == len(plain) and all(
        name.strip() and not set(name) & set(_SEPARATORS) for name in plain
    )
    if not fine:
        with pytest.raises(ConfigError, match=r"labels\[\d\] is "):
            class_names(labels)
        return
    written = write_metadata(model, {"head": class_names(labels)}, architecture)
    assert read_labels(written, len(labels)) == tuple(plain)


def test_lines_of_a_file_are_labels_without_their_ends(quantized, architecture, tmp_path):
    names = [f"größe {number}" for number in range(architecture.num_classes)]
    path = tmp_path / "labels.txt"
    path.write_text("\r\n".join(names), encoding="utf-8", newline="")
    with path.open(encoding="utf-8", newline="") as file:
        lines = file.readlines()
    assert lines[0] == "größe 0\r\n"
    model = convert(quantized, lines)
    assert read_labels(model, len(names)) == tuple(names)
    assert model == convert(quantized, names) == convert(quantized, [n.encode() for n in names])
    archive = zipfile.ZipFile(BytesIO(model))
    assert archive.read("labels.txt") == "".join(f"{name}\n" for name in names).encode("utf-8")
    assert model_bytes(architecture, lines) == model_bytes(architecture, names) == len(model)


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        (["a", "b"], r"labels has 2 entries; the network has 3 classes, .*\(num_classes\)"),
        (["a", "b", "c", "d"], "labels has 4 entries"),
        (["a", "b", "a"], r"labels\[2\] is 'a', as labels\[0\] is"),
        (["a", "b\n", "b"], r"labels\[2\] is 'b', as labels\[1\] is"),
        (["a", "", "c"], r"labels\[1\] is ''; a class name must not be empty"),
        (["a", "b", "c\u2028d"], r"labels\[2\] is .*several lines"),
        (["a", 1, "c"], r"labels\[1\] is 1, a int; it must be a str"),
        (["a", b"\xff", "c"], r"labels\[1\] is .*not UTF-8"),
        (["a", "b", "\udcff"], r"labels\[2\] is .*not UTF-8"),
        ("abc", "labels is 'abc'; give a list"),
        ({"a", "b", "c"}, "give a list"),
        ({"a": 0, "b": 1, "c": 2}, "give a list"),
        (None, "labels is None; give a list"),
    ],
)
def test_labels_that_are_not_one_name_a_class_are_refused_by_every_door(
    architecture, quantized, labels, named
):
    with pytest.raises(ConfigError, match=named):
        class_names(labels, 3)
    with pytest.raises(ConfigError, match="labels"):
        convert(quantized, labels)
    if labels is not None:  # which stands for labels that are not known yet
        with pytest.raises(ConfigError, match=named):
            model_bytes(dataclasses.replace(architecture, num_classes=3), labels)
    if "entries" in named or labels is None:
        return
    images, classes = np.zeros((3, 4, 4), np.uint8), np.arange(3)
    with pytest.raises(DataError, match=f"labels of mine are wrong: .*{named}"):
        datasets.from_arrays("mine", images, classes, images, classes, labels=labels)


@pytest.mark.parametrize(
    ("labels", "named"),
    [(("a", "b"), "has 2 entries; the network has 10"), (("a",) * 10, r"\[1\] is 'a', as")],
)
def test_a_task_of_wrong_labels_is_refused_before_its_search(tmp_path, labels, named):
    data = TaskData(labels, None, None, None, None, None)
    settings = TaskSettings(FASHION_MNIST_SPACE, starts=1, steps=1)
    with pytest.raises(ConfigError, match=named):
        run_task(data, None, tmp_path / "out", pytest.fail, 0, settings)
    assert not (tmp_path / "out").exists()


def test_a_model_with_another_number_of_labels_than_classes_is_refused(model, architecture):
    # What earlier versions wrote of the lines of a file.
    written = write_metadata(model, {"head": ["cat", "", "dog", ""]}, architecture)
    with pytest.raises(ModelError, match="4 labels for 2 classes"):
        read_labels(written, 2)


@pytest.mark.parametrize(
    ("labels", "read"),
    [
        (np.array([b"cat", "größe".encode()]), ("cat", "größe")),
        (np.array(["cat", "größe"]), ("cat", "größe")),
        (np.array([7, 12]), ("7", "12")),
    ],
)
def test_labels_of_an_npz_are_names_whatever_their_dtype(tmp_path, labels, read):
    images, classes = np.zeros((2, 4, 4), np.uint8), np.arange(2)
    arrays = {"train_images": images, "train_classes": classes,
              "test_images": images, "test_classes": classes}  # fmt: skip
    path = tmp_path / "data.npz"
    np.savez(path, labels=labels, **arrays)
    assert datasets.load(str(path)).labels == read
    np.savez(path, labels=labels[None], **arrays)
    with pytest.raises(DataError, match=r"labels of .* is \[1, 2\]"):
        datasets.load(str(path))


@pytest.mark.parametrize("change", [{"num_classes": 9}, {"channels": 3}])
def test_an_architecture_of_other_images_or_classes_is_another_models(model, architecture, change):
    edited = unpack(model)
    other = dataclasses.replace(architecture, **change).to_json()
    add_metadata(edited, ARCHITECTURE_NAME, other.encode())
    with pytest.raises(ModelError, match="is another model's"):
        read_architecture(read_graph(pack(edited, read_files(model))))


@pytest.mark.parametrize(
    ("channels", "space"), [(1, "GRAYSCALE"), (2, None), (3, "RGB"), (4, None)]
)
def test_metadata_names_the_colour_space_that_the_channels_are(architecture, channels, space):
    network = dataclasses.replace(architecture, channels=channels, num_heads=(1,), mlp_ratio=(1.0,))
    subnet = build_subnet(network)
    rng = np.random.default_rng(0)
    for weight in subnet.trainable_weights:
        weight.assign_add(0.02 * rng.standard_normal(weight.shape))
    quantized = subnet.quantized_copy(
        [rng.uniform(-1, 0.99, (2, *network.image_shape)).astype(np.float32)]
    )
    labels = [f"name {number}" for number in range(10)]
    model = convert(quantized, labels)
    (image,) = _metadata(model)["input_tensor_metadata"]
    assert image["content"]["content_properties"].get("color_space") == space
    assert image["process_units"][0]["options"] == {"mean": [128.0], "std": [128.0]}
    assert model_bytes(network, labels) == len(model)


def test_metadata_calls_the_logits_logits(model):
    (output,) = _metadata(model)["output_tensor_metadata"]
    assert output["name"] == "logits"
    assert "robabilit" not in output["description"]
    assert output["associated_files"][0]["type"] == "TENSOR_AXIS_LABELS"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_shipped_models_carry_the_metadata_that_is_written_today(path):
    shipped = path.read_bytes()
    assert rewrite_metadata(shipped) == shipped, "run scripts/refresh_metadata.py"


def test_writing_metadata_again_changes_nothing_but_what_is_new(model, architecture):
    labels = [f"other {number}" for number in range(architecture.num_classes)]
    other = write_metadata(model, {"head": labels}, architecture)
    assert rewrite_metadata(other) == other != model
    before, after = read_graph(model), read_graph(other)
    assert before.metadata == after.metadata
    assert [t.data for t in before.tensors] == [t.data for t in after.tensors]
    assert write_metadata(other, read_output_labels(model), architecture) == model


def test_the_script_that_refreshes_metadata_keeps_files_and_cards_together(tmp_path):
    shipped = [zoo.SHIPPED / "fashion_mnist_16k", zoo.BASELINES / "fixed_vit_16k",
               zoo.BASELINES / "depthwise_cnn_16k"]  # fmt: skip
    folders = [tmp_path / folder.parent.name / folder.name for folder in shipped]
    for source, folder in zip(shipped, folders, strict=True):
        shutil.copytree(source, folder)
        path, card = folder / zoo.MODEL_FILE, folder / zoo.CARD_FILE
        other = path.read_bytes().replace(b"Logits of the labels", b"Ligots of the labels")
        text = card.read_text(encoding="utf-8").replace(digest(path.read_bytes()), digest(other))
        path.write_bytes(other)
        card.write_text(text, encoding="utf-8")
    script = runpy.run_path(str(Path(__file__).parents[3] / "scripts" / "refresh_metadata.py"))
    script["main"](folders[0].parent, folders[1].parent)
    for source, folder in zip(shipped, folders, strict=True):
        for path in source.iterdir():
            assert (folder / path.name).read_bytes() == path.read_bytes(), path
