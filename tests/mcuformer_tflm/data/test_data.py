import gzip
import importlib
import shutil
import struct
import sys
import types
import warnings

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from mcuformer_tflm import data as datasets
from mcuformer_tflm.data.folder import ImageFolder, divided
from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError, DataWarning
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.training.trainers import SupernetTrainer
from mcuformer_tflm.search.space import SearchSpace


@pytest.fixture
def folder(tmp_path):
    """Nine images of three classes, told apart by their colour; some of odd modes."""
    modes = ["RGB", "L", "CMYK", "RGBA", "P", "RGB", "RGB", "LA", "RGB"]
    for i, mode in enumerate(modes):
        label = ("ant", "bee", "cat")[i % 3]
        (tmp_path / label).mkdir(exist_ok=True)
        colour = [(0, 0, 0), (255, 255, 255), (128, 128, 128)][i % 3]
        image = PIL.Image.new("RGB", (40 + i, 60), colour).convert(mode)
        suffix = {"CMYK": "jpg", "RGB": "JPEG"}.get(mode, "png")
        image.save(tmp_path / label / f"{i}.{suffix}")
    (tmp_path / "readme.txt").write_text("no class")
    return tmp_path


def test_folder_gives_every_image_once_an_epoch_with_its_class(folder):
    data = ImageFolder(folder, 24, 3)
    assert data.labels == ("ant", "bee", "cat")
    assert (data.num_classes, len(data)) == (3, 3)
    images, classes = map(np.concatenate, zip(*data.epoch(0).as_numpy_iterator(), strict=True))
    assert images.shape == (9, 24, 24, 3)
    assert sorted(classes.tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    for image, label in zip(images, classes, strict=True):
        np.testing.assert_allclose(image, [-1, 127 / 128, 0][label], atol=0.02)
    again, other = (np.concatenate([c for _, c in data.epoch(n)]) for n in (0, 1))
    np.testing.assert_array_equal(classes, again)
    assert not np.array_equal(classes, other)


def test_folder_is_resized_by_its_shorter_side_and_cropped_as_the_paper_does(tmp_path):
    (tmp_path / "one").mkdir()
    # Columns count up: the crop's place shows in its values.
    columns = np.tile(np.arange(128, dtype=np.uint8)[None], (64, 1)) * 2
    PIL.Image.fromarray(columns).save(tmp_path / "one" / "wide.png")
    data = ImageFolder(tmp_path, 60, 1, channels=1)
    assert data.resize == 64
    images, _ = data.arrays()
    assert images.shape == (1, 60, 60, 1)
    np.testing.assert_array_equal(images[0, :, :, 0], columns[2:62, 34:94], "the middle")
    lefts = {int(next(iter(data.epoch(n)))[0][0, 0, 0, 0] * 64 + 64) for n in range(30)}
    assert len(lefts) > 15, "random crops"
    assert 0 <= min(lefts) < 20 < 50 < max(lefts) <= 68
    assert ImageFolder(tmp_path, 240, 1).resize == 256


def test_bad_images_are_reported_and_skipped_with_a_count(folder, caplog):
    (folder / "ant" / "text.jpg").write_text("no image")
    (folder / "bee" / "empty.png").write_bytes(b"")
    whole = (folder / "cat" / "2.jpg").read_bytes()
    (folder / "cat" / "2.jpg").write_bytes(whole[: len(whole) // 2])
    data = ImageFolder(folder, 24, 4)
    for epoch in (0, 1):
        assert sum(len(classes) for _, classes in data.epoch(epoch)) == 8
        assert {path.split("/")[-1] for path in data.skipped} == {
            "text.jpg", "empty.png", "2.jpg",
        }  # fmt: skip
    assert len(caplog.records) == 3, "once each"
    assert "Skipped image 3" in caplog.text
    assert len(data.arrays()[0]) == 8


@pytest.mark.slow
def test_folder_trains_a_supernet_of_its_classes_and_no_other(folder):
    space = SearchSpace(
        image_size=24, channels=3, num_classes=3, patch_size=(12,), rank_ratio=(0.5,),
        embed_dim=(8,), depth=(1,), num_heads=(1,), mlp_ratio=(2.0,), head_dim=4,
    )  # fmt: skip
    recipe = TrainingRecipe(mixup_alpha=0.5, flip_probability=0.5, learning_rate=0.02)
    data = ImageFolder(folder, 24, 9, recipe=recipe)
    trainer = SupernetTrainer(Supernet(space.largest()), recipe, steps=20)
    for _ in range(20):
        trainer.train(data, space)
    assert trainer.accuracy(space.smallest(), *data.arrays()) == 1
    shutil.rmtree(folder / "cat")
    with pytest.raises(DataError, match="has 2 classes, the network 3"):
        trainer.train(ImageFolder(folder, 24, 3), space)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"image_size": 0}, "image_size"), ({"batch_size": 0}, "batch_size"),
     ({"resize": 23}, "resize"), ({"channels": 2}, "channels")],
)  # fmt: skip
def test_impossible_folder_sizes_are_refused(folder, arguments, named):
    with pytest.raises(ConfigError, match=named):
        ImageFolder(folder, **{"image_size": 24, "batch_size": 2, **arguments})


@pytest.fixture
def pictures(tmp_path):
    """120 pictures of two classes, each of a brightness of its own."""
    for label in ("notperson", "person"):
        (tmp_path / label).mkdir()
        for number in range(60):
            value = 2 * number + (label == "person")
            PIL.Image.new("L", (16, 16), value).save(tmp_path / label / f"{number}.png")
    return tmp_path


def test_class_folders_are_divided_into_parts_that_share_no_image(pictures):
    parts = divided(pictures, 15, 8, channels=1)
    seen = [set(part.arrays()[0][:, 0, 0, 0].tolist()) for part in parts]
    assert sorted(value for part in seen for value in part) == list(range(120))
    assert all(3 <= len(part) <= 24 for part in seen[1:])
    data = datasets.load(f"images-15x15x1:{pictures}")
    assert data.labels == ("notperson", "person")
    assert set(data.test_images[:, 0, 0, 0].tolist()) == seen[2]
    with pytest.raises(ConfigError, match="square"):
        datasets.load(f"images-15x16x1:{pictures}")
    with pytest.raises(ConfigError, match="tenths is"):
        ImageFolder(pictures, 15, 8, tenths=(10,))
    shutil.rmtree(pictures / "person")
    for path in sorted((pictures / "notperson").iterdir())[1:]:
        path.unlink()
    with pytest.raises(DataError, match="too few images"):
        divided(pictures, 15, 1, channels=1)


def test_train_and_val_folders_are_taken_where_there_are_some(pictures, tmp_path_factory):
    both = tmp_path_factory.mktemp("both")
    for part in ("train", "val"):
        shutil.copytree(pictures, both / part)
    (both / "val" / "person" / "0.png").unlink()
    train, chooser, test = divided(both, 15, 8, channels=1)
    assert len(train.arrays()[0]) + len(chooser.arrays()[0]) == 120
    assert test.arrays()[0].shape == (119, 15, 15, 1)
    shutil.rmtree(both / "val" / "person")
    with pytest.raises(DataError, match="notperson, person in train and notperson in val"):
        divided(both, 15, 8)


def test_parts_of_a_data_set_are_read_as_such_and_never_as_classes(pictures, tmp_path_factory):
    for names in (("train", "test"), ("Train", "Validation"), ("training", "testing")):
        both = tmp_path_factory.mktemp("both")
        for name in names:
            shutil.copytree(pictures, both / name)
        # Ten more, which are in the other part alone.
        for number in range(10):
            image = PIL.Image.new("L", (16, 16), 200 + number)
            image.save(both / names[1] / "person" / f"more{number}.png")
        (both / "annotations").mkdir()
        with pytest.raises(DataError, match=f"holds .*{names[0]}.*no classes.* {both / names[0]}"):
            ImageFolder(both, 15, 8)
        train, chooser, test = divided(both, 15, 8, channels=1)
        assert train.labels == ("notperson", "person")
        seen = [set(part.arrays()[0].ravel().tolist()) for part in (train, chooser, test)]
        assert seen[0] | seen[1] == set(range(120))
        assert not seen[0] & seen[1]
        assert seen[2] == set(range(120)) | set(range(200, 210))
        assert datasets.load(f"images-15x15x1:{both}").labels == ("notperson", "person")


def test_three_parts_are_what_they_are_called(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("three")
    for number, part in enumerate(("train", "val", "test")):
        for label in ("notperson", "person"):
            (folder / part / label).mkdir(parents=True)
            for path in sorted((pictures / label).iterdir())[number::3]:
                shutil.copy(path, folder / part / label)
    parts = divided(folder, 15, 8, channels=1)
    assert [len(part.arrays()[0]) for part in parts] == [40, 40, 40]
    assert set.union(*(set(p.arrays()[0].ravel().tolist()) for p in parts)) == set(range(120))
    shutil.rmtree(folder / "val" / "person")
    with pytest.raises(DataError, match="notperson, person in train and notperson in val"):
        divided(folder, 15, 8)


def test_parts_that_cannot_be_told_apart_or_lack_one_are_refused(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    shutil.copytree(pictures, folder / "test")
    for read in (lambda: ImageFolder(folder, 15, 8), lambda: divided(folder, 15, 8)):
        with pytest.raises(DataError, match=r"holds test"):
            read()
    shutil.copytree(pictures, folder / "train")
    shutil.copytree(pictures, folder / "testing")
    with pytest.raises(DataError, match="test and testing and train, some of which are the same"):
        divided(folder, 15, 8)
    # Parts within a class would be trained on and tested on alike.
    inner = tmp_path_factory.mktemp("inner")
    for part in ("train", "val"):
        shutil.copytree(pictures / "person", inner / "person" / part)
    with pytest.raises(DataError, match=r"person holds train, val.*lay them out"):
        divided(inner, 15, 8)
    # A train is a class where there is no part beside it.
    vehicles = tmp_path_factory.mktemp("vehicles")
    for name in ("bus", "train"):
        shutil.copytree(pictures / "person", vehicles / name)
    assert ImageFolder(vehicles, 15, 8).labels == ("bus", "train")
    (vehicles / "train").rename(vehicles / "test")
    (vehicles / "bus").rename(vehicles / "testing")
    shutil.copytree(pictures / "person", vehicles / "yes")
    assert ImageFolder(vehicles, 15, 8).labels == ("test", "testing", "yes")


def test_what_systems_and_editors_leave_behind_is_no_class_and_no_image(folder):
    for hidden in (".ipynb_checkpoints", "__MACOSX", "@eaDir", "cat/.ipynb_checkpoints"):
        (folder / hidden).mkdir()
        shutil.copy(folder / "cat" / "2.jpg", folder / hidden / "2-checkpoint.jpg")
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini", "._2.jpg"):
        (folder / "cat" / name).write_bytes(b"no image")
        (folder / name).write_bytes(b"no image")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = ImageFolder(folder, 24, 9)
        images, _ = data.arrays()
    assert data.labels == ("ant", "bee", "cat")
    assert len(images) == 9
    assert not data.skipped


def test_images_are_found_by_any_usual_suffix_and_others_are_counted_aloud(folder):
    shutil.rmtree(folder / "ant")
    (folder / "ant").mkdir()
    image = PIL.Image.new("RGB", (30, 30))
    suffixes = ["tif", "TIFF", "webp", "GIF", "Bmp", "JPG", "jpeg", "PNG", "ppm"]
    for suffix in suffixes:
        image.save(folder / "ant" / f"one.{suffix}")
    for name in ("a.heic", "b.HEIC", "notes.txt", "noname"):
        (folder / "bee" / name).write_bytes(b"")
    image.save(folder / "beside.png")
    with pytest.warns(DataWarning) as warned:
        data = ImageFolder(folder, 24, 1)
    assert data.arrays()[1].tolist().count(0) == len(suffixes)
    texts = [str(one.message) for one in warned]
    assert len(texts) == 2
    assert "4 are passed over for their suffix" in texts[0]
    for told in ("1 .heic", "1 .HEIC", "1 .txt", "1 of none"):
        assert told in texts[0]
    assert texts[1].startswith("1 files are passed over")
    assert "beside.png" in texts[1]


def test_a_class_without_an_image_is_told_by_name(pictures):
    (pictures / "dog").mkdir()
    with pytest.raises(DataError, match="holds no image of dog"):
        divided(pictures, 15, 8)
    shutil.copy(pictures / "person" / "0.png", pictures / "dog")
    with pytest.warns(DataWarning) as warned:
        parts = divided(pictures, 15, 8)
    # One image is in one part.
    assert sum("dog" in str(one.message) for one in warned) == 2
    assert {part.labels for part in parts} == {("dog", "notperson", "person")}
    (pictures / "dog" / "0.png").write_bytes(b"damaged")
    with pytest.warns(DataWarning, match="could be read of .* holds no example of dog"):
        ImageFolder(pictures, 15, 8).arrays()


def test_folder_without_images_is_told(tmp_path_factory, folder):
    with pytest.raises(DataError, match="no folder"):
        ImageFolder(folder / "missing", 24, 1)
    empty = tmp_path_factory.mktemp("empty")
    (empty / "class").mkdir()
    with pytest.raises(DataError, match="no folder with images"):
        ImageFolder(empty, 24, 1)
    with pytest.raises(DataError, match="9 images, fewer than one batch of 10"):
        ImageFolder(folder, 24, 10)


def test_folder_of_bad_images_alone_ends_training_with_an_error(tmp_path):
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "bad.png").write_text("bad")
    data = ImageFolder(tmp_path, 24, 1)
    with pytest.raises(DataError, match="None of 1 images"):
        data.arrays()
    assert list(data.epoch(0)) == []


def arrays(**changes):
    rng = np.random.default_rng(0)
    given = {
        "train_images": rng.integers(0, 256, (6, 8, 8), dtype=np.uint8),
        "train_classes": np.arange(6) % 3,
        "test_images": rng.integers(0, 256, (3, 8, 8), dtype=np.uint8),
        "test_classes": np.arange(3),
    }
    return {**given, **changes}


def test_arrays_in_a_file_are_a_data_set_by_its_path(tmp_path):
    path = tmp_path / "digits.npz"
    np.savez(path, labels=np.array(["zero", "one", "two"]), **arrays())
    data = datasets.load(str(path))
    assert data.name == "digits"
    assert data.labels == ("zero", "one", "two")
    assert data.train_images.shape == (6, 8, 8, 1)
    assert data.test_classes.dtype == np.int32
    np.savez(path, **arrays())
    assert datasets.load(str(path)).labels == ("0", "1", "2")
    path.write_text("damaged")
    with pytest.raises(DataError, match="no intact"):
        datasets.load(str(path))
    np.savez(path, train_images=np.zeros(3))
    with pytest.raises(DataError, match="lacks train_classes, test_images, test_classes"):
        datasets.load(str(path))


def test_classes_without_an_image_in_a_split_are_told_by_name():
    given = arrays(train_classes=np.array([0, 0, 0, 2, 2, 2]), test_classes=np.array([0, 1, 1]))
    with pytest.warns(DataWarning) as warned:
        datasets.from_arrays("mine", **given, labels=["ant", "bee", "cat"])
    assert [str(one.message) for one in warned] == [
        "train_images of mine holds no example of bee.",
        "test_images of mine holds no example of cat.",
    ]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"train_images": np.zeros((6, 8, 8), np.float32)}, "train_images.*float32.*uint8"),
        ({"test_images": np.zeros((3, 9, 8), np.uint8)}, "one size"),
        ({"train_classes": np.arange(5)}, "for each of 6 images"),
        ({"test_classes": np.array([0, 1, 3])}, "from 0 to 3, but there are 3 labels"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_belong_together_are_refused(changes, named):
    with pytest.raises(DataError, match=named):
        datasets.from_arrays("mine", **arrays(**changes))


def test_fashion_mnist_is_found_in_keras_cache(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    cache.mkdir()
    for prefix, count in (("train", 6), ("t10k", 3)):
        images = struct.pack(">4I", 0x803, count, 28, 28) + bytes(count * 784)
        labels = struct.pack(">2I", 0x801, count) + bytes(range(count))
        (cache / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (cache / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    home = importlib.import_module("mcuformer_tflm.data.fashion_mnist")
    monkeypatch.setattr(home, "DEBIAN_FASHION_MNIST", tmp_path / "missing")
    monkeypatch.setattr(home, "KERAS_FASHION_MNIST", cache)
    assert datasets.load("fashion-mnist").test_classes.tolist() == [0, 1, 2]
    monkeypatch.setattr(home, "KERAS_FASHION_MNIST", tmp_path / "missing too")
    with pytest.raises(DataError, match="apt-get install dataset-fashion-mnist"):
        datasets.load("fashion-mnist")


class Builder:
    """What ``tfds.builder`` returns, with the little of it that is read."""

    def __init__(self, name):
        shape = (None, None, 3) if name == "various" else (8, 8, 1)
        image = types.SimpleNamespace(shape=shape)
        label = "numbers" if name == "numbers" else types.SimpleNamespace(names=["a", "b"])
        features = {"text": 0} if name == "texts" else {"image": image, "label": label}
        splits = {"train": 4} if name == "whole" else {"train": 4, "test": 2}
        self.info = types.SimpleNamespace(features=features, splits=splits)

    def download_and_prepare(self):
        pass

    def as_dataset(self, split, batch_size):
        count = self.info.splits[split]
        return {"image": tf.zeros([count, 8, 8, 1], tf.uint8), "label": tf.range(count) % 2}


def test_tensorflow_datasets_are_read_where_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(DataError, match="pip install tensorflow-datasets"):
        datasets.load("tfds:mnist")
    fake = types.SimpleNamespace(
        builder=Builder, as_numpy=lambda parts: {k: v.numpy() for k, v in parts.items()}
    )
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", fake)
    data = datasets.load("tfds:mnist")
    assert data.labels == ("a", "b")
    assert data.train_classes.tolist() == [0, 1, 0, 1]
    for name, named in (("various", "various sizes"), ("texts", "no labelled images"),
                        ("numbers", "labels of tfds:numbers are numbers, and not classes"),
                        ("whole", "train and test are needed")):  # fmt: skip
        with pytest.raises(DataError, match=named):
            datasets.load(f"tfds:{name}")


def test_unknown_data_set_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="fashion-mnist"):
        datasets.load("fashion")
