"""The zoo: recipes that say what is wrong, and shipped files that are what their cards say."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from mcuformer_tflm import convert, quantize
from mcuformer_tflm.data.image_data import normalise, quantize_images
from mcuformer_tflm.keras_models.exceptions import (
    BudgetError,
    CheckpointError,
    ConfigError,
    ModelError,
)
from mcuformer_tflm.keras_models.training.trainers import predict
from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
from mcuformer_tflm.zoo import making
from mcuformer_tflm.zoo.card import ModelCard
from mcuformer_tflm.zoo.catalogue import (
    BASELINES,
    SHIPPED,
    float_model,
    model_card,
    model_names,
    model_path,
)
from mcuformer_tflm.zoo.recipe import ZooRecipe

RECIPES = sorted(Path("examples/zoo").glob("*.toml"))


@pytest.fixture
def recipe_text() -> str:
    return RECIPES[0].read_text()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_read_and_named_after_its_file(path):
    recipe = ZooRecipe.read(path)
    assert recipe.name == path.stem
    assert ZooRecipe.read(path).fingerprint("seed", "float_training") == recipe.fingerprint(
        "seed", "float_training"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed = 0\n", "", "seed is missing"),
        ("seed = 0\n", 'seed = "zero"\n', "seed is 'zero'; it must be a int"),
        ("seed = 0\n", f"seed = 0x{'f' * 5000}\n", "'seed' is a number of 20,000 bits"),
        ("seed = 0\n", "seed = 0\ncolour = 1\n", "colour is no field of a recipe"),
        ("depth = 5", "depth = 100_000_000_000", "depth is 100000000000; it must be at most 1,000"),
        ("patch_size = 4", "patch_size = 40", "patch_size is 40; it must be at most"),
        ("patch_size = 4", "patches = 4", "architecture.patches is no field"),
        ("[float]\n", "[float]\nspeed = 9\n", "float.speed is no field"),
        ("flip_probability = 0.5", "flip_probability = 5.0", "flip_probability is 5.0"),
        ("width = 24", "width = 0", "teacher_width is 0"),
        ("[architecture]", "[architecture", "no recipe that can be read"),
    ],
)
def test_a_wrong_recipe_is_refused_with_file_and_field(tmp_path, recipe_text, old, new, message):
    assert old in recipe_text
    path = tmp_path / "recipe.toml"
    path.write_text(recipe_text.replace(old, new, 1))
    with pytest.raises(ConfigError) as raised:
        ZooRecipe.read(path)
    assert message in str(raised.value)
    assert str(path) in str(raised.value)


def test_the_fingerprint_changes_with_the_fields_named_and_no_others(tmp_path, recipe_text):
    path = tmp_path / "recipe.toml"
    path.write_text(recipe_text.replace("seed = 0", "seed = 1", 1))
    one, other = ZooRecipe.read(RECIPES[0]), ZooRecipe.read(path)
    assert one.fingerprint("seed") != other.fingerprint("seed")
    assert one.fingerprint("teacher") == other.fingerprint("teacher")


def test_a_recipe_has_any_field_of_an_architecture_and_tells_of_its_stem_where_it_has_one(
    tmp_path, recipe_text
):
    path = tmp_path / "recipe.toml"
    path.write_text(recipe_text.replace("patch_size = 4", 'patch_size = 4\nstem = "conv"', 1))
    conv, patch = ZooRecipe.read(path), ZooRecipe.read(RECIPES[0])
    assert conv.network == dataclasses.replace(patch.network, stem="conv")
    assert conv.to_dict()["architecture"]["stem"] == "conv"
    assert "stem" not in patch.to_dict()["architecture"], "as cards of before have it"


def test_a_name_that_is_not_in_the_zoo_is_answered_with_those_that_are():
    with pytest.raises(ConfigError, match="There is no model 'resnet' in the zoo"):
        model_path("resnet")


CARDS = [(name, folder) for folder in (SHIPPED, BASELINES) for name in model_names(folder)]


@pytest.mark.parametrize(("name", "folder"), CARDS, ids=[name for name, _ in CARDS])
def test_a_shipped_card_is_written_again_byte_for_byte(tmp_path, name, folder):
    card = model_card(name, folder)
    card.write(tmp_path)
    assert ModelCard.read(tmp_path / "card.json") == card
    shipped = sorted(path.name for path in (folder / name).glob("card.*"))
    assert sorted(path.name for path in tmp_path.iterdir()) == shipped
    for file in shipped:
        assert (tmp_path / file).read_bytes() == (folder / name / file).read_bytes()


def test_a_baseline_has_no_page():
    with pytest.raises(ModelError, match="fixed_vit_16k is a baseline; its card has no page"):
        model_card("fixed_vit_16k", BASELINES).markdown()


@pytest.mark.parametrize("name", model_names())
def test_the_recipe_beside_the_examples_is_the_one_on_the_card(name):
    recipe = ZooRecipe.read(Path("examples/zoo") / f"{name}.toml")
    assert recipe.to_dict() == model_card(name).recipe


def test_a_damaged_card_is_refused(tmp_path):
    path = tmp_path / "card.json"
    for text in ("", "{}", "[]", json.dumps({"boards": {"a": {}}}), '{"like": "a"}'):
        path.write_text(text)
        with pytest.raises(ModelError, match="is no model card"):
            ModelCard.read(path)


@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize("name", model_names())
def test_a_shipped_model_is_what_its_card_says(name, fashion_mnist):
    # A sample of the test set, where a wrong file would show.
    images, classes = fashion_mnist.test_images[:400], fashion_mnist.test_classes[:400]
    card = model_card(name)
    interpreter = MicroInterpreter(model_path(name))
    assert interpreter.architecture.to_json() == card.architecture
    int8 = interpreter.run(quantize_images(images)).argmax(-1)
    real = predict(float_model(name), normalise(images)).argmax(-1)
    assert np.mean(int8 == classes) == pytest.approx(card.int8_top1, abs=0.03)
    assert np.mean(real == classes) == pytest.approx(card.float_top1, abs=0.03)
    assert np.mean(int8 == real) > 0.95


@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize("shift", [-20.0, 20.0])
def test_int8_is_as_good_where_all_logits_have_one_sign(shift, fashion_mnist):
    images, classes = fashion_mnist.test_images[:256], fashion_mnist.test_classes[:256]
    network = float_model("fashion_mnist_16k")
    network.get_layer("head").bias.assign_add([shift] * 10)
    wanted = np.mean(predict(network, images).argmax(-1) == classes)
    quantized = quantize(network, fashion_mnist.train_images[:128], epochs=0)
    interpreter = MicroInterpreter(convert(quantized, fashion_mnist.labels))
    found = np.mean(interpreter.run(quantize_images(images)).argmax(-1) == classes)
    assert wanted > 0.9
    assert found == pytest.approx(wanted, abs=0.03)


@pytest.fixture
def small_data(fashion_mnist):
    data = fashion_mnist
    return dataclasses.replace(
        data, train_images=data.train_images[:256], train_classes=data.train_classes[:256],
        test_images=data.test_images[:64], test_classes=data.test_classes[:64],
    )  # fmt: skip


@pytest.fixture
def small_recipe(tmp_path, recipe_text):
    text = recipe_text
    for field, value in {
        "embed_dim": 16, "depth": 1, "patch_size": 7, "width": 4, "epochs": 1, "batch_size": 64,
    }.items():  # fmt: skip
        text = re.sub(rf"^{field} = .*$", f"{field} = {value}", text, flags=re.MULTILINE)
    path = tmp_path / "small.toml"
    path.write_text(text)
    return ZooRecipe.read(path)


class StoppedError(Exception):
    pass


@pytest.mark.usefixtures("op_by_op")
def test_an_interrupted_recipe_goes_on_to_the_model_that_it_would_have_made(
    tmp_path, small_recipe, small_data, monkeypatch
):
    monkeypatch.setattr(making, "BOARDS", ("stm32f427",))

    def interrupt(label: str, done: int, total: int, info: str = "") -> None:
        if label == "train it quantized":
            raise StoppedError

    def watch(label: str, done: int, total: int, info: str = "") -> None:
        seen.add(label)

    arguments = (small_recipe, small_data, tmp_path / "out", tmp_path / "work")
    with pytest.raises(StoppedError):
        making.make_model(*arguments, interrupt)
    other = dataclasses.replace(small_data, train_classes=small_data.train_classes[::-1].copy())
    with pytest.raises(CheckpointError, match=r"data\.classes is .* there and .* here"):
        making.make_model(small_recipe, other, *arguments[2:], interrupt)
    seen: set[str] = set()
    resumed = making.make_model(*arguments, watch)
    assert not {"train the teacher", "train the network"} & seen, "those were done"
    assert "train it quantized" in seen
    name = small_recipe.name
    assert model_card(name, tmp_path / "out") == resumed
    figures = resumed.boards["stm32f427"]
    assert figures.equal == figures.images == 64
    assert f"{resumed.int8_top1:.2%}" in (tmp_path / "out" / name / "card.md").read_text()
    assert (tmp_path / "out" / name / "sqnr.png").stat().st_size > 5000


def test_an_arena_that_is_too_small_is_told_before_any_training(tmp_path, small_recipe, small_data):
    cramped = dataclasses.replace(small_recipe, arena_kib=1)
    with pytest.raises(BudgetError, match="arena_kib allows 1,024"):
        making.make_model(cramped, small_data, tmp_path / "out", tmp_path / "work", pytest.fail)
    assert not (tmp_path / "work").exists()


def test_labels_of_another_number_are_told_before_any_training(tmp_path, small_recipe, small_data):
    more = dataclasses.replace(small_data, labels=(*small_data.labels, "one more"))
    with pytest.raises(ConfigError, match="labels has 11 entries; the network has 10 classes"):
        making.make_model(small_recipe, more, tmp_path / "out", tmp_path / "work", pytest.fail)
    assert not (tmp_path / "work").exists()
