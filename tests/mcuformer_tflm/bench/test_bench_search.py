"""The search benchmark's arithmetic, without training."""

import itertools

import pytest

from mcuformer_tflm.bench import search
from mcuformer_tflm.bench.ablations import SPACE, Outcome, Study, Work, roomy_budget, tight_budget
from mcuformer_tflm.bench.evolution_picture import draw_evolution
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.search.cost.fit import Fit


@pytest.fixture
def study(fashion_mnist, monkeypatch):
    made = Study(fashion_mnist, 0, Work(), supernets=None, report=None)
    for patch, rank in itertools.product(SPACE.patch_size, SPACE.rank_ratio):
        made._accuracies[patch, rank] = [0.5 + rank / 10, 0.6 + rank / 10]
    monkeypatch.setattr(made, "given_pair", lambda name, pair, budget: Outcome(name, pair, 0.5, 1))
    return made


def test_evolution_replays_over_the_scores_of_the_trained_supernets(study, tmp_path):
    outcome, history = study.evolved(roomy_budget())
    assert outcome.pair[1] == max(SPACE.rank_ratio)
    assert all(
        visit.score in (pytest.approx(a + 0.1) for a in study._accuracies[
            SPACE.patch_size[visit.point[0]], SPACE.rank_ratio[visit.point[1]]])
        for visit in history
    )  # fmt: skip
    draw_evolution(SPACE, history, tmp_path / "path.png")
    assert (tmp_path / "path.png").read_bytes().startswith(b"\x89PNG")


def test_tight_budget_fits_about_half_of_the_space():
    fit = Fit(tight_budget())
    assert not fit(SPACE.largest())
    assert fit(SPACE.smallest())


def test_margin_is_that_of_seeds_in_pairs():
    rows = search._summaries(
        {
            "evolved": [Outcome("evolved", (4, 0.7), top1, 1) for top1 in (0.7, 0.8)],
            "random_search": [Outcome("random_search", (4, 0.7), 0.6, 1)] * 2,
        }
    )
    values = {(row.case, row.metric): row.value for row in rows}
    case = "ablation/evolved_over_random_search"
    assert values[case, "margin"] == pytest.approx(0.15)
    assert values[case, "margin_deviation"] == pytest.approx(0.0707, abs=1e-4)


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="minutes is 0"):
        search.run(lambda *_: None, minutes=0)
