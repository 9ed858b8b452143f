"""The two parts of the demo, as runs of the search."""

import importlib
from types import SimpleNamespace

import pytest
from run_record import REPORT
from typer.testing import CliRunner

from mcuformer_tflm.cli import app
from mcuformer_tflm.zoo import supernets

DEMO = importlib.import_module("mcuformer_tflm.cli.demo")


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """Runs the demo, each search of which is only noted, as (run, folder of its results)."""

    def demo(shipped, *arguments):
        found = []
        monkeypatch.setattr(supernets, "supernet_names", lambda: shipped)
        monkeypatch.setattr(
            DEMO,
            "search_and_print",
            lambda run, out, folder, console: (found.append((run, out)), REPORT)[1],
        )
        words = ["demo", "--out", str(tmp_path), *arguments]
        assert CliRunner().invoke(app, words).exit_code == 0
        return [SimpleNamespace(run=run, out=str(out.relative_to(tmp_path))) for run, out in found]

    return demo


def test_demo_evolves_from_nothing_and_then_specialises_the_shipped_supernet(runs):
    nothing, specialised = runs(("fashion_mnist",), "--sram-kib", "16", "--ms", "80")
    assert nothing.run.supernet is None
    assert specialised.run.supernet == "fashion_mnist"
    assert (nothing.out, specialised.out) == ("from-nothing", ".")
    assert nothing.run.minutes + specialised.run.minutes <= 9.5, "ten, with the start"
    for part in (nothing, specialised):
        assert part.run.budget().sram == 16 * 1024
        assert part.run.budget().milliseconds == 80


def test_demo_that_was_interrupted_in_its_second_part_goes_on_there(runs, tmp_path):
    (tmp_path / "unfinished-run").mkdir()
    (part,) = runs(("fashion_mnist",))
    assert part.run.supernet == "fashion_mnist"


def test_without_a_shipped_supernet_the_demo_searches_from_nothing_for_all_of_its_time(runs):
    (part,) = runs(())
    assert part.run.supernet is None
    assert part.run.minutes == 9
    assert part.out == "."
