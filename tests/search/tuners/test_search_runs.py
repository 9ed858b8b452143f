"""Whole searches in processes of their own: killed, resumed, shared out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HELPERS = Path(__file__).parents[2] / "helpers"


PROGRAMS = ("interrupted_search", "distributed_search", "failing_workers")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Of each program what it told, and its messages."""
    result = subprocess.run(
        [sys.executable, HELPERS / "in_forks.py", tmp_path_factory.mktemp("runs"), *PROGRAMS],
        capture_output=True, text=True, timeout=900, check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture
def told(runs):
    """Returns what a program printed in its last line, and its messages."""

    def of(program):
        run = runs[program]
        assert run["status"] == 0, run["stdout"] + run["stderr"]
        return json.loads(run["stdout"].splitlines()[-1]), run["stderr"]

    return of


@pytest.fixture
def interrupted(told):
    return told("interrupted_search")[0]


def test_search_killed_at_random_points_ends_with_the_same_answer(interrupted):
    assert interrupted["kills"] == 3
    assert interrupted["cut"] == interrupted["whole"], "scores, weights and choice, exactly"


def test_killed_search_repeats_and_forgets_no_trial(interrupted):
    assert interrupted["trials"] == 4
    assert len(interrupted["cut"]["visits"]) == 4


def test_chief_and_workers_lose_nothing_when_a_worker_is_killed(told):
    chief, messages = told("distributed_search")
    assert "Worker worker-0 has been silent" in messages
    assert "The chief listens on 127.0.0.1, port " in messages
    assert len(chief["ended"]) == len(set(chief["ended"])) == 2 * 2
    assert set(chief["statuses"]) == {"COMPLETED"}
    assert len(chief["visits"]) == 2 * 2
    assert chief["best"]["patch_size"] == 4


def test_worker_that_stops_at_an_error_gives_its_trial_back_and_failures_reach_the_chief(told):
    statuses, messages = told("failing_workers")
    assert statuses["slip"] == 1, "the worker raises"
    assert (statuses["whole"], statuses["chief"]) == (0, 0)
    assert statuses["trials"] == ["COMPLETED"] * 4
    assert "Worker worker-0 stopped at an error" in messages
    assert (statuses["failing"], statuses["failing_chief"]) == (0, 1)
