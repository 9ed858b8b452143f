import numpy as np
import pytest

from mcuformer_tflm.bench import figure3
from mcuformer_tflm.bench.memory import paper_architectures
from mcuformer_tflm.search.cost.memory import eq5_bytes


@pytest.mark.parametrize("case", ["paper/f427", "paper/f746", "paper/largest"])
def test_all_of_the_papers_techniques_come_to_its_equation(case):
    architecture = paper_architectures()[case]
    wanted = eq5_bytes(architecture, class_token=True)
    assert figure3.accounted_bytes(architecture, True, True, True) == wanted


@pytest.mark.parametrize("case", ["paper/f427", "paper/f746", "paper/largest"])
def test_no_technique_costs_memory_in_the_papers_accounting(case):
    architecture = paper_architectures()[case]
    bars = [technique.paper(architecture) for technique in figure3.techniques()]
    assert (np.diff(bars) <= 0).all()
    assert bars[-1] < bars[0] / 2


def test_picture_has_both_columns_of_measured_rows(architecture, tmp_path, monkeypatch):
    monkeypatch.setattr(figure3, "BOARDS", {"stm32f427": "small"})
    monkeypatch.setattr(figure3, "paper_architectures", lambda: {"small": architecture})
    rows = figure3.run(lambda *_: None)
    heads = {row.case: row.value for row in rows if row.metric == "head_bytes"}
    assert len(heads) == len(figure3.techniques())
    assert (
        heads["stm32f427/none"]
        > heads["stm32f427/+ token overwriting"]
        > heads["stm32f427/+ streaming"]
        >= heads["stm32f427/+ image in strips"]
    )
    figure3.draw(rows, tmp_path / "figure3.svg")
    assert "paper's accounting" in (tmp_path / "figure3.svg").read_text()
