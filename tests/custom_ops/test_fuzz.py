"""Replays the corpora of the fuzz targets, under ASan and UBSan."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUZZ = ROOT / "custom_ops/fuzz"
BUILD = ROOT / "build/cmake-replay"


@pytest.fixture(scope="module")
def replay():
    tools = Path(sys.executable).parent
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}

    def run(*command):
        result = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, env=environment, timeout=600
        )
        assert result.returncode == 0, (result.stdout + result.stderr)[-4000:]
        return result.stdout

    run(
        tools / "cmake", "-S", FUZZ.parent, "-B", BUILD, "-G", "Ninja", "-DMCUFORMER_FUZZ=ON",
        f"-DCMAKE_MAKE_PROGRAM={tools / 'ninja'}",
    )  # fmt: skip
    run(tools / "cmake", "--build", BUILD, "--target", "replay_options", "replay_operators",
        "replay_planner")  # fmt: skip

    def replay_corpus(name):
        inputs = sorted((FUZZ / "corpus" / name).iterdir())
        assert len(inputs) > 10
        return run(BUILD / "fuzz" / f"replay_{name}", *inputs)

    return replay_corpus


def test_no_option_in_the_corpus_is_read_beyond_its_bytes(replay):
    assert "inputs" in replay("options")


def test_no_plan_in_the_corpus_is_followed_where_it_lays_buffers_over_others(replay):
    assert "inputs" in replay("planner")


def test_no_node_in_the_corpus_crashes_an_operator_and_each_operator_is_run(replay):
    lines = replay("operators").splitlines()[1:]
    runs = {name: int(count) for name, count in map(str.split, lines)}
    assert len(runs) >= 10
    assert [name for name, count in runs.items() if count == 0] == []
