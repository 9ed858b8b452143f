"""Trained supernets: made from a recipe, told by a card, refused where they do not belong."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from mcuformer_tflm.data.image_data import from_arrays, normalise
from mcuformer_tflm.keras_models.exceptions import (
    CheckpointError,
    ConfigError,
    DataError,
    ModelError,
)
from mcuformer_tflm.keras_models.training.checkpoint import read_arrays, write_arrays
from mcuformer_tflm.keras_models.training.trainers import SupernetTrainer, predict
from mcuformer_tflm.search.trained_supernet import TrainedSupernet
from mcuformer_tflm.zoo.making import make_model
from mcuformer_tflm.zoo.recipe import ZooRecipe
from mcuformer_tflm.zoo.supernet_card import SupernetCard
from mcuformer_tflm.zoo.supernet_making import make_supernet
from mcuformer_tflm.zoo.supernet_recipe import SupernetRecipe
from mcuformer_tflm.zoo.supernets import (
    SUPERNET_FILE,
    SUPERNETS,
    supernet_card,
    supernet_names,
    trained_supernet,
)
from mcuformer_tflm.zoo.training import float_stretch, untrained_subnet

RECIPES = sorted(Path("examples/zoo/supernets").glob("*.toml"))
TINY = """
name = "tiny"
data = "stripes"
seed = 3
[space]
image_size = 8
channels = 1
num_classes = 2
patch_size = 4
rank_ratio = 0.5
embed_dim = [8, 16]
depth = 1
num_heads = [1, 2]
mlp_ratio = [1.0, 2.0]
head_dim = 4
[teacher]
width = 2
epochs = 1
batch_size = 8
held_out = 16
[supernet]
epochs = 2
batch_size = 8
held_out = 16
distillation_weight = 0.5
sandwich_random = 1
"""


@pytest.fixture(scope="module")
def stripes():
    """Stripes along one axis or the other."""
    rng = np.random.default_rng(0)
    classes = rng.integers(2, size=48).astype(np.int32)
    pattern = np.tile(np.arange(8) % 2, (8, 1)) * 200
    images = np.stack([pattern.T if wanted else pattern for wanted in classes])
    images = (images + rng.integers(50, size=images.shape)).astype(np.uint8)[..., None]
    return from_arrays("stripes", images, classes, images, classes, labels=["across", "along"])


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(TINY)
    return SupernetRecipe.read(path)


@pytest.fixture(scope="module")
def made(recipe, stripes, tmp_path_factory):
    """A supernet's folder, and its card."""
    out = tmp_path_factory.mktemp("supernets")
    card = make_supernet(recipe, stripes, out, out / "work", lambda *_: None)
    return out / "tiny", card


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_a_supernet_is_read_and_named_after_its_file(path):
    assert SupernetRecipe.read(path).name == path.stem


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed = 3\n", "", "seed is missing"),
        ("seed = 3\n", "seed = 3\ncolour = 1\n", "colour is no field of a recipe"),
        ("patch_size = 4", "patch_size = [2, 4]", "space has 2 supernets"),
        ("patch_size = 4", "patches = 4", "'patches' is no field of a space"),
        ('name = "tiny"', 'name = "../tiny"', "name is '../tiny'"),
        ("width = 2", "width = 0", "teacher_width is 0"),
        ("epochs = 2\nbatch_size = 8\nheld_out = 16", "epochs = 2\nbatch_size = 8",
         "held_out of [supernet] is 0"),
        ("epochs = 1\nbatch_size = 8\nheld_out = 16", "epochs = 1\nbatch_size = 8",
         "held_out of [teacher] is 0; it must be that of [supernet], 16"),
        ("held_out = 16", "held_out = -1", "held_out is -1"),
    ],
)  # fmt: skip
def test_a_wrong_recipe_of_a_supernet_is_refused_with_file_and_field(tmp_path, old, new, message):
    assert old in TINY
    path = tmp_path / "recipe.toml"
    path.write_text(TINY.replace(old, new, 1))
    with pytest.raises(ConfigError) as raised:
        SupernetRecipe.read(path)
    assert message in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_made_supernet_scores_held_out_images_as_its_card_says(made, stripes):
    folder, card = made
    trained = TrainedSupernet.read(folder / "supernet.npz")
    held_out = normalise(stripes.train_images[-16:]), stripes.train_classes[-16:]
    trainer = SupernetTrainer(trained.supernet)
    assert trainer.accuracy(trained.space.largest(), *held_out) == card.largest_top1
    assert trainer.accuracy(trained.space.smallest(), *held_out) == card.smallest_top1
    assert SupernetCard.read(folder / "card.json") == card
    assert "stripes" in (folder / "card.md").read_text()


def test_an_interrupted_supernet_ends_as_one_that_was_not_whatever_is_held_out(
    recipe, stripes, made, tmp_path
):
    images = stripes.train_images.copy()
    images[-16:] = 7
    changed = dataclasses.replace(stripes, train_images=images)

    def stop(what, done, total):
        if what == "train the supernet" and done > total // 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        make_supernet(recipe, changed, tmp_path, tmp_path / "work", stop)
    make_supernet(recipe, changed, tmp_path, tmp_path / "work", lambda *_: None)
    folders = tmp_path / "tiny", made[0]
    found, expected = (read_arrays(folder / "supernet.npz") for folder in folders)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in found)


def test_a_supernet_is_found_by_name_and_by_file(made):
    folder, card = made
    by_name = trained_supernet("tiny", folder.parent)
    by_file = trained_supernet(folder / "supernet.npz")
    assert by_name.space == by_file.space
    assert by_name.labels == ("across", "along")
    assert (by_name.held_out, by_name.epochs, by_name.recipe) == (16, 2, card.recipe)
    with pytest.raises(ConfigError, match=r"supernet is 'large'; it must be one of .* \(tiny\)"):
        trained_supernet("large", folder.parent)


def test_a_supernets_file_holds_its_teacher_for_networks_that_are_trained_on(made, stripes):
    trained = trained_supernet("tiny", made[0].parent)
    images = normalise(stripes.train_images[-16:])
    right = predict(trained.teacher, images).argmax(-1) == stripes.train_classes[-16:]
    card = made[1]
    assert right.mean() == pytest.approx(card.teacher_top1, abs=1 / 16), "but for 16 bits"


def test_a_file_that_is_not_its_cards_is_refused(made, tmp_path):
    _, card = made
    card.write(tmp_path / "tiny")
    (tmp_path / "tiny" / "supernet.npz").write_bytes(b"another")
    with pytest.raises(ModelError, match="not the file that its card was made for"):
        supernet_card("tiny", tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda told: told.pop("labels"), "its fields are"),
        (lambda told: told.update(format=99), "its fields are"),
        (lambda told: told["space"].update(embed_dim=[4]), "checkpoint of another network"),
        (lambda told: told["space"].update(depth=[1000], embed_dim=[1024]), "says 3,.* or more"),
        (lambda told: told["space"].update(patch_size=0), "patch_size is 0"),
        (lambda told: told.update(labels=["one"]), "labels are 1"),
        (lambda told: told.update(held_out="many"), "invalid literal"),
    ],
)
def test_a_changed_file_is_refused_as_no_trained_supernet(made, tmp_path, change, message):
    saved = read_arrays(made[0] / "supernet.npz")
    told = json.loads(str(saved["trained"]))
    change(told)
    write_arrays(tmp_path / "x.npz", {**saved, "trained": np.asarray(json.dumps(told))})
    with pytest.raises(CheckpointError, match=message):
        TrainedSupernet.read(tmp_path / "x.npz")


def test_a_teacher_of_more_channels_than_its_file_has_numbers_is_refused(made, tmp_path):
    saved = read_arrays(made[0] / "supernet.npz")
    wide = np.zeros((0, 10**6), np.float16)
    write_arrays(tmp_path / "x.npz", {**saved, "teacher_0": wide})
    with pytest.raises(CheckpointError, match=r"kind teacher, and says 144,000,000,000,000 or"):
        TrainedSupernet.read(tmp_path / "x.npz")


def test_a_checkpoint_is_no_trained_supernet(tmp_path):
    write_arrays(tmp_path / "x.npz", {"epochs": np.asarray(1)})
    with pytest.raises(CheckpointError, match="no trained supernet"):
        TrainedSupernet.read(tmp_path / "x.npz")


def test_other_data_than_the_supernets_are_refused(made):
    trained = TrainedSupernet.read(made[0] / "supernet.npz")
    trained.check_data(("across", "along"), (8, 8, 1))
    with pytest.raises(DataError, match=r"images of \[8, 8, 1\] .* these are \[8, 8, 3\]"):
        trained.check_data(("across", "along"), (8, 8, 3))
    with pytest.raises(DataError, match="whose classes are across, along, and these are cat, dog"):
        trained.check_data(("cat", "dog"), (8, 8, 1))


def test_a_zoo_recipe_holds_images_out_of_the_stretches_that_say_so(stripes, tmp_path):
    text = Path("examples/zoo/fashion_mnist_16k.toml").read_text()
    path = tmp_path / "recipe.toml"
    path.write_text(text.replace("[teacher]\n", "[teacher]\nheld_out = 16\n", 1))
    recipe, plain = ZooRecipe.read(path), ZooRecipe.read("examples/zoo/fashion_mnist_16k.toml")
    assert len(recipe.teacher.shown(stripes)[0]) == 32
    assert len(recipe.float_training.shown(stripes)[0]) == 48
    assert recipe.fingerprint("teacher") != plain.fingerprint("teacher")
    assert "held_out" not in plain.to_dict()["teacher"], "as cards of before have it"
    with pytest.raises(DataError, match="48 training images, and held_out is 60"):
        dataclasses.replace(recipe.teacher, held_out=60).shown(stripes)


@pytest.mark.parametrize("name", supernet_names())
def test_a_shipped_supernet_is_what_its_card_and_recipe_say(name):
    card, trained = supernet_card(name), trained_supernet(name)
    recipe = SupernetRecipe.read(f"examples/zoo/supernets/{name}.toml")
    assert card.recipe == recipe.to_dict() == trained.recipe
    assert trained.space == recipe.space
    assert trained.epochs == recipe.training.epochs
    assert card.file_bytes == (SUPERNETS / name / SUPERNET_FILE).stat().st_size <= 4 << 20
    assert (SUPERNETS / name / "card.md").read_text() == card.markdown()


def test_a_zoo_recipe_starts_from_the_weights_of_its_supernet(made, stripes, tmp_path):
    file = made[0] / SUPERNET_FILE
    trained = TrainedSupernet.read(file)
    network = trained.space.smallest()
    recipe = ZooRecipe.read("examples/zoo/fashion_mnist_16k.toml")
    recipe = dataclasses.replace(recipe, data="stripes", network=network, supernet=str(file))
    found = untrained_subnet(recipe, stripes).get_weights()
    expected = trained.supernet.extract(network).get_weights()
    assert all(np.array_equal(*both) for both in zip(found, expected, strict=True))
    assert recipe.to_dict()["supernet"] == str(file)
    for changed, message in (
        ({"data": "fashion-mnist"}, "trained on stripes, and data is 'fashion-mnist'"),
        ({"network": dataclasses.replace(network, embed_dim=32)}, "embed_dim"),
        ({"supernet": "none"}, "supernet is 'none'; it must be one of"),
    ):
        wrong = dataclasses.replace(recipe, **changed)
        with pytest.raises(ConfigError, match=message):
            make_model(wrong, stripes, tmp_path, tmp_path / "work", lambda *_: None)
    assert not (tmp_path / "work" / "teachers").exists(), "refused before anything is trained"


def test_a_baseline_has_the_epochs_of_the_supernet_from_which_its_model_starts():
    recipe = ZooRecipe.read("examples/zoo/fashion_mnist_16k.toml")
    found = dataclasses.replace(recipe, supernet="fashion_mnist")
    assert float_stretch(found) == found.float_training
    baseline = found.with_network("other", recipe.network)
    behind = supernet_card("fashion_mnist").recipe["training"]["epochs"]
    assert float_stretch(baseline).epochs == behind + found.float_training.epochs
    plain = dataclasses.replace(found, supernet=None).with_network("other", recipe.network)
    assert float_stretch(plain) == recipe.float_training


def test_a_baseline_starts_from_no_supernet(tmp_path):
    text = Path("examples/zoo/fashion_mnist_16k.toml").read_text()
    path = tmp_path / "recipe.toml"
    path.write_text(text.replace("seed = 0\n", 'seed = 0\nsupernet = "fashion_mnist"\n', 1))
    recipe = ZooRecipe.read(path)
    assert recipe.supernet == "fashion_mnist"
    assert recipe.with_network("other", recipe.network).supernet is None
    path.write_text(text.replace("seed = 0\n", "seed = 0\nsupernet = 1\n", 1))
    with pytest.raises(ConfigError, match="supernet is 1; it must be a str"):
        ZooRecipe.read(path)
