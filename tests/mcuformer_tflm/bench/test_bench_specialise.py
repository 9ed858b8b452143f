"""Rows of specialised networks, and the recipes that train the same alone."""

import dataclasses
import json
from types import SimpleNamespace

import pytest

from mcuformer_tflm.bench import specialise
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.zoo.catalogue import model_card
from mcuformer_tflm.zoo.recipe import ZooRecipe

CHOSEN = {
    kib: Architecture(
        28, 1, 10, 4, 0.75, 8, 32, (4,) * depth, (2.0,) * depth, relative_position=True, stem="conv"
    )
    for kib, depth in ((8, 3), (16, 4), (32, 5), (64, 6))
}


@pytest.fixture
def searched(monkeypatch):
    """Lets a search write what it would report, and returns the arenas that were searched."""
    arenas = []

    def search(run, data, out, progress, *, supernet):
        arenas.append(run.arena_kib)
        report = {
            "supernet": run.supernet, "minutes": run.minutes, "board": run.board,
            "architecture": CHOSEN[run.arena_kib].to_json(), "test_images": 10_000,
            "int8_top1": 0.9, "float_top1": 0.91, "arena_bytes": run.arena_kib * 1000,
            "flash_bytes": 99, "seconds": 290.0,
        }  # fmt: skip
        out.mkdir(parents=True)
        (out / "report.json").write_text(json.dumps(report))

    monkeypatch.setattr(specialise, "run_search", search)
    monkeypatch.setattr(specialise, "search_data", lambda run, supernet: None)
    monkeypatch.setattr(specialise, "trained_supernet", lambda name: SimpleNamespace(name=name))
    return arenas


def values_of(rows, metric):
    return {row.case: row.value for row in rows if row.metric == metric}


def trained_alone(folder, kib, architecture, int8_top1):
    card = dataclasses.replace(
        model_card("fashion_mnist_conv_64k"), int8_top1=int8_top1,
        network={"kind": "vision_transformer", **json.loads(architecture.to_json())},
    )  # fmt: skip
    (folder / f"specialise_{kib}").mkdir(parents=True)
    card.write(folder / f"specialise_{kib}")


def test_each_arena_is_a_case_and_what_is_finished_is_not_searched_again(searched, tmp_path):
    rows = specialise.run(lambda *_: None, work=tmp_path)
    assert values_of(rows, "arena_bytes") == {
        f"specialise/{kib}": 1000 * kib for kib in specialise.ARENAS_KIB
    }
    assert not values_of(rows, "difference")
    assert specialise.run(lambda *_: None, work=tmp_path) == rows
    assert searched == [8, 16, 32, 64]
    with pytest.raises(ConfigError, match=r"of the supernet fashion_mnist and 5.0 minutes; remove"):
        specialise.run(lambda *_: None, work=tmp_path, minutes=3.0)


def test_recipes_train_the_chosen_networks_as_the_zoo_trains_its_own(searched, tmp_path):
    specialise.run(lambda *_: None, work=tmp_path)
    like = model_card("fashion_mnist_conv_64k").recipe
    for kib, architecture in CHOSEN.items():
        recipe = ZooRecipe.read(tmp_path / f"specialise_{kib}.toml")
        assert recipe.network == architecture
        assert recipe.arena_kib == kib
        told = recipe.to_dict()
        for field in ("teacher", "float_training", "quantized_training", "teacher_width", "seed"):
            assert told[field] == like[field]


def test_a_model_trained_alone_gives_a_difference_in_points_if_it_is_the_same_network(
    searched, tmp_path
):
    alone = tmp_path / "alone"
    trained_alone(alone, 16, CHOSEN[16], 0.905)
    rows = specialise.run(lambda *_: None, work=tmp_path / "work", alone=alone)
    assert values_of(rows, "int8_top1_alone") == {"specialise/16": 0.905}
    assert values_of(rows, "difference") == {"specialise/16": pytest.approx(-0.5)}
    trained_alone(alone, 32, CHOSEN[8], 0.9)
    with pytest.raises(ConfigError, match="specialise_32 is another network"):
        specialise.run(lambda *_: None, work=tmp_path / "work", alone=alone)
