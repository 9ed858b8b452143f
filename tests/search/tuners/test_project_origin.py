"""A project's results are gone on with only where the data are those that they came from."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
import tiny_search
from op_by_op import op_by_op
from tiny_search import BUDGET, SPACE, data, search_spaces, space_tuner

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.batches import batches
from mcuformer_tflm.search.oracles.subnet_baselines import RandomSubnets
from mcuformer_tflm.search.tuners.project_origin import ORIGIN_FILE
from mcuformer_tflm.search.tuners.subnet_tuner import SubnetTuner

pytestmark = pytest.mark.usefixtures("op_by_op")
IMAGES, CLASSES = data()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    with op_by_op():
        search_spaces(tuner(folder))
    return folder


def tuner(folder, **options):
    return space_tuner(folder, starts=1, steps=1, epochs=1, **options)


def changed(array):
    other = array.copy()
    other[0] = other[1] if (other[0] != other[1]).any() else 2 - other[1]
    return other


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"train": batches(changed(IMAGES), CLASSES, 16)}, "train.images"),
        ({"train": batches(IMAGES, changed(CLASSES), 16)}, "train.classes"),
        ({"train": batches(IMAGES, CLASSES, 16, seed=3)}, "train.seed is 0 there and 3 here"),
        ({"train": batches(IMAGES, CLASSES, 8)}, "train.batch_size is 16 there and 8 here"),
        ({"train": tf.data.Dataset.from_tensor_slices((IMAGES, CLASSES)).batch(16)},
         "train.first_batch is not said there"),
        ({"validation": (changed(IMAGES)[:48], CLASSES[:48])}, "validation.images"),
        ({"validation": (IMAGES[:48], changed(CLASSES)[:48])}, "validation.classes"),
    ],
)  # fmt: skip
def test_search_on_other_data_is_refused_by_the_field_that_differs(finished, change, field):
    train = change.get("train", batches(IMAGES, CLASSES, 16))
    validation = change.get("validation", (IMAGES[:48], CLASSES[:48]))
    again = tuner(finished)
    before = again.oracle.history
    with pytest.raises(ConfigError) as refusal:
        again.search(train, validation_data=validation)
    assert f" {field}" in str(refusal.value)
    assert "overwrite=True to start anew" in str(refusal.value)
    assert tuner(finished).oracle.history == before


@pytest.mark.parametrize("damage", ["missing", "cut", "supernets alone"])
def test_project_that_does_not_say_where_it_came_from_is_refused(finished, tmp_path, damage):
    shutil.copytree(finished, tmp_path / "copy")
    path = tmp_path / "copy" / "spaces" / ORIGIN_FILE
    if damage == "cut":
        path.write_text(path.read_text()[:-20])
    else:
        path.unlink()
    if damage == "supernets alone":
        for kept in path.parent.iterdir():
            if kept.name.startswith("trial_"):
                shutil.rmtree(kept)
            elif kept.is_file():
                kept.unlink()
    named = f"{ORIGIN_FILE} is damaged" if damage == "cut" else "does not say from what"
    with pytest.raises(ConfigError, match=named) as refusal:
        search_spaces(tuner(tmp_path / "copy"))
    assert f"Remove {tmp_path / 'copy' / 'spaces'}" in str(refusal.value)


def test_overwrite_forgets_where_the_old_results_came_from(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "copy")
    tuner(tmp_path / "copy", overwrite=True)
    assert not (tmp_path / "copy" / "spaces" / ORIGIN_FILE).exists()


def test_subnets_scored_on_other_data_or_weights_are_refused(tmp_path):
    space = SPACE.at(4, 0.5)
    supernet = Supernet(space.largest())

    def score(supernet, classes):
        oracle = RandomSubnets(space, BUDGET, subnets=2)
        subnets = SubnetTuner(oracle, supernet, directory=tmp_path, report=tiny_search.quiet)
        subnets.search(validation_data=(IMAGES, classes))
        return oracle.scores

    scores = score(supernet, CLASSES)
    assert score(supernet, CLASSES) == scores
    with pytest.raises(ConfigError, match=r"validation\.classes is .* there and .* here"):
        score(supernet, changed(CLASSES))
    supernet.head.kernel.assign(np.zeros(supernet.head.kernel.shape))
    with pytest.raises(ConfigError, match=r"another search: weights is .*overwrite=True"):
        score(supernet, CLASSES)
