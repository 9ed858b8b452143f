import dataclasses
import json
from pathlib import Path

import pytest

from mcuformer_tflm.keras_models.exceptions import BudgetError, ConfigError
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.runtime.accuracy import accuracies
from mcuformer_tflm.zoo.catalogue import float_model, model_cards
from mcuformer_tflm.zoo.depthwise_cnn import DepthwiseCnn
from mcuformer_tflm.zoo.fixed_vit import fixed_vit
from mcuformer_tflm.zoo.making import make_model
from mcuformer_tflm.zoo.measurement import host_arena_bytes, open_model
from mcuformer_tflm.zoo.network import describe, network_of
from mcuformer_tflm.zoo.recipe import Training, ZooRecipe

RECIPES = sorted(Path("examples/zoo/baselines").glob("*.toml"))
ZOO_RECIPE = Path("examples/zoo/fashion_mnist_64k.toml")
CNN = DepthwiseCnn(28, 1, 10, width=12, blocks=(1, 2), stem_stride=2)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_read_and_its_network_told_in_json(path):
    recipe = ZooRecipe.read(path)
    assert recipe.name == path.stem
    assert network_of(json.loads(json.dumps(describe(recipe.network)))) == recipe.network
    assert recipe.like == ZooRecipe.read(ZOO_RECIPE.parent / f"{recipe.like.name}.toml")
    assert recipe == dataclasses.replace(
        recipe.like, name=path.stem, network=recipe.network, supernet=None, like=recipe.like
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("like = ", "unlike = ", "must have name, like, and one of"),
        ('name = "', 'name = "not a name: ', "letters, digits and underscores"),
        ("width = ", "width = -", "width is -"),
        ("width = ", "breadth = ", "breadth"),
        ("[depthwise_cnn]", "[[depthwise_cnn]]", "it must be a table"),
        ("[depthwise_cnn]", "[depthwise_cnn", "no recipe that can be read"),
        ("/fashion_mnist_", "/baselines/fixed_vit_", "which is the recipe of a baseline"),
    ],
)
def test_wrong_recipe_is_refused_with_file_and_field(tmp_path, old, new, message):
    text = RECIPES[0].read_text().replace('"../', f'"{RECIPES[0].parent.parent.resolve()}/')
    path = tmp_path / "recipe.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError) as raised:
        ZooRecipe.read(path)
    assert message in str(raised.value)
    assert str(path) in str(raised.value)


@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize("kind", ["depthwise_cnn", "vision_transformer"])
def test_baseline_is_made_measured_and_read_again(tmp_path, fashion_mnist, kind):
    like = ZooRecipe.read(ZOO_RECIPE)
    alone, taught = (Training(1, 32, TrainingRecipe(distillation_weight=x)) for x in (0.0, 0.5))
    like = dataclasses.replace(
        like, teacher_width=2, teacher=alone, float_training=taught, quantized_training=taught
    )
    network = CNN
    if kind == "vision_transformer":
        network = fixed_vit(like.network, patch_size=7, embed_dim=32, depth=1, num_heads=2)
    recipe = like.with_network("small", network)
    data = dataclasses.replace(
        fashion_mnist,
        train_images=fashion_mnist.train_images[:96],
        train_classes=fashion_mnist.train_classes[:96],
        test_images=fashion_mnist.test_images[:50],
        test_classes=fashion_mnist.test_classes[:50],
    )
    seen = set()
    card = make_model(recipe, data, tmp_path, tmp_path / "work", lambda label, *_: seen.add(label))
    assert model_cards(tmp_path) == {"small": card}
    assert network_of(card.network) == network
    assert card.like == like.name
    model = (tmp_path / "small" / "model.tflite").read_bytes()
    assert card.flash_bytes == len(model)
    assert card.arena_bytes < card.arena_bytes_host == host_arena_bytes(network, model)
    assert "classify in TFLM" in seen
    again = accuracies(
        float_model("small", tmp_path), open_model(network, model),
        data.test_images, data.test_classes, _silent,
    )  # fmt: skip
    assert again["agreement"] == card.agreement


NETWORKS = {
    "depthwise_cnn": DepthwiseCnn(28, 1, 10, width=16, blocks=(1, 1)),
    "vision_transformer": fixed_vit(
        ZooRecipe.read(ZOO_RECIPE).network, patch_size=2, embed_dim=96, depth=1, num_heads=2
    ),
}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_arena_beyond_the_recipes_is_refused_before_any_training(tmp_path, fashion_mnist, network):
    like = dataclasses.replace(ZooRecipe.read(ZOO_RECIPE), arena_kib=16)

    def train(label, *_):
        raise AssertionError(label)

    with pytest.raises(BudgetError, match=r"wide needs an arena of .*; arena_kib of .* 16,384"):
        make_model(like.with_network("wide", network), fashion_mnist, tmp_path, tmp_path, train)


def test_a_cnn_is_refused_where_a_model_of_the_zoo_is_wanted():
    with pytest.raises(ConfigError, match=r"network is DepthwiseCnn.*with_network"):
        dataclasses.replace(ZooRecipe.read(ZOO_RECIPE), network=CNN)


def _silent(*_):
    pass
