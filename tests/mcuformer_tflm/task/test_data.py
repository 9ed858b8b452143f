"""What a task learns from, by a data set's name: what is held out, and what is refused."""

import dataclasses
import wave

import numpy as np
import PIL.Image
import pytest

from mcuformer_tflm.data.image_data import ImageData
from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.task.data import image_task, named_task

RECIPE = TrainingRecipe()
RNG = np.random.default_rng(0)
IMAGES = np.arange(60, dtype=np.uint8)[:, None, None, None] + np.zeros((60, 4, 4, 1), np.uint8)
MIXED = RNG.permutation(np.repeat(np.arange(3, dtype=np.int32), 20))


def data_of(classes, labels=("a", "b", "c")):
    return ImageData("mine", labels, IMAGES, classes, IMAGES[:6], classes[:6])


def shown(batches):
    images = np.concatenate([batch for batch, _ in batches.epoch(0)])
    return {round(float(value) * 128 + 128) for value in images[:, 0, 0, 0]}


def test_last_images_are_held_out_of_the_search_and_the_chosen_subnet_learns_from_them_too():
    task = image_task(data_of(MIXED), 6, RECIPE, held_out=12)
    scored, classes = task.validation
    assert scored[:, 0, 0, 0].tolist() == list(range(48, 60))
    assert classes.tolist() == MIXED[48:].tolist()
    assert shown(task.search) == set(range(48))
    assert shown(task.train) == shown(task.quantized) == set(range(60))
    assert task.held_out == 12
    assert image_task(data_of(MIXED), 6, RECIPE).held_out == 6, "a tenth"


@pytest.mark.parametrize("classes", [2, 3])
def test_of_images_in_order_of_their_classes_some_of_each_are_held_out(classes):
    ordered = np.sort(MIXED) * (classes - 1) // 2
    task = image_task(data_of(ordered, ("a", "b", "c")[:classes]), 6, RECIPE, held_out=12)
    assert set(task.validation[1].tolist()) == set(range(classes))
    held_out = set(task.validation[0][:, 0, 0, 0].tolist())
    assert len(held_out) == 12
    assert shown(task.search) == set(range(60)) - held_out


def test_one_class_is_refused_and_a_class_without_images_is_named():
    with pytest.raises(DataError, match="has one class, a; there must be two"):
        image_task(data_of(0 * MIXED, labels=("a",)), 6, RECIPE)
    with pytest.raises(DataError, match="mine has no image of b to train on"):
        image_task(data_of(np.where(MIXED == 1, 0, MIXED)), 6, RECIPE)


@pytest.mark.parametrize("held_out", [0, 60, -1])
def test_all_images_or_none_cannot_be_held_out(held_out):
    with pytest.raises(ConfigError, match=f"held_out is {held_out}"):
        image_task(data_of(MIXED), 6, RECIPE, held_out=held_out)


@pytest.fixture
def folder(tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(40):
            PIL.Image.fromarray(np.full((9, 9), number, np.uint8)).save(
                tmp_path / label / f"{number}.png"
            )
    return tmp_path


def test_folder_is_read_as_it_is_trained_on(folder):
    task = named_task(f"images-8x8x1:{folder}", 8, RECIPE)
    assert task.labels == ("cat", "dog")
    assert task.image_shape == (8, 8, 1)
    assert task.held_out == 0
    assert type(task.train).__name__ == "ImageFolder"


def test_folder_of_one_class_and_a_class_folder_without_images_are_refused(folder):
    for path in (folder / "dog").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="holds no image of dog"):
        named_task(f"images-8x8x1:{folder}", 8, RECIPE)
    (folder / "dog").rmdir()
    with pytest.raises(DataError, match="has one class, cat"):
        named_task(f"images-8x8x1:{folder}", 8, RECIPE)


def test_words_are_heard_as_they_are_trained_on(tmp_path):
    for word in ("yes", "no"):
        (tmp_path / word).mkdir()
        for speaker in range(40):
            with wave.open(str(tmp_path / word / f"{speaker:08x}_nohash_0.wav"), "wb") as file:
                file.setparams((1, 2, 16000, 0, "NONE", ""))
                file.writeframes(np.full(16000, speaker, "<i2").tobytes())
    task = named_task(f"speech-commands:{tmp_path}", 8, RECIPE)
    assert task.labels == ("yes", "no")
    assert task.image_shape == (49, 10, 1)
    assert type(task.train).__name__ == "SpeechCommands"


def test_archive_is_a_name_too(tmp_path):
    data = data_of(MIXED)
    arrays = {field: value for field, value in dataclasses.asdict(data).items() if field != "name"}
    np.savez(tmp_path / "mine.npz", **arrays)
    assert named_task(str(tmp_path / "mine.npz"), 6, RECIPE).labels == data.labels
