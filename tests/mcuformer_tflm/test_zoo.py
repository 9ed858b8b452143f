"""The zoo: recipes that say what is wrong, and shipped files that are what their cards say."""

import json
from pathlib import Path

import numpy as np
import pytest

from mcuformer_tflm.datasets import normalise, quantize_images
from mcuformer_tflm.keras_models.exceptions import ConfigError, ModelError
from mcuformer_tflm.keras_models.training import predict
from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
from mcuformer_tflm.zoo.card import ModelCard
from mcuformer_tflm.zoo.catalogue import float_model, model_card, model_names, model_path
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
        ("seed = 0\n", "seed = 0\ncolour = 1\n", "colour is no field of a recipe"),
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


def test_a_name_that_is_not_in_the_zoo_is_answered_with_those_that_are():
    with pytest.raises(ConfigError, match="There is no model 'resnet' in the zoo"):
        model_path("resnet")


def test_a_card_survives_being_written_and_read(tmp_path):
    for name in model_names():
        card = model_card(name)
        card.write(tmp_path)
        assert ModelCard.read(tmp_path / "card.json") == card


def test_a_damaged_card_is_refused(tmp_path):
    path = tmp_path / "card.json"
    for text in ("", "{}", "[]", json.dumps({"boards": {"a": {}}})):
        path.write_text(text)
        with pytest.raises(ModelError, match="is no model card"):
            ModelCard.read(path)


@pytest.mark.parametrize("name", model_names())
def test_a_shipped_model_is_what_its_card_says(name, fashion_mnist):
    # A sample of the test set, where a wrong file would show.
    images, classes = fashion_mnist.test_images[:1000], fashion_mnist.test_classes[:1000]
    card = model_card(name)
    interpreter = MicroInterpreter(model_path(name))
    assert interpreter.architecture.to_json() == card.architecture
    int8 = interpreter.run(quantize_images(images)).argmax(-1)
    real = predict(float_model(name), normalise(images)).argmax(-1)
    assert np.mean(int8 == classes) == pytest.approx(card.int8_top1, abs=0.03)
    assert np.mean(real == classes) == pytest.approx(card.float_top1, abs=0.03)
    assert np.mean(int8 == real) > 0.95
