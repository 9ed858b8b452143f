"""Whole searches in processes of their own: killed, resumed, shared out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HELPERS = Path(__file__).parents[2] / "helpers"


def _run(script, *arguments):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    result = subprocess.run(
        [sys.executable, HELPERS / script, *arguments],
        capture_output=True, text=True, timeout=900, check=False, env=environment,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return result


def _told(result):
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    return _told(_run("interrupted_search.py", tmp_path_factory.mktemp("interrupted"), "0"))


def test_search_killed_at_random_points_ends_with_the_same_answer(interrupted):
    assert interrupted["kills"] == 3
    assert interrupted["cut"] == interrupted["whole"], "scores, weights and choice, exactly"


def test_killed_search_repeats_and_forgets_no_trial(interrupted):
    assert interrupted["trials"] == 2 * 2
    assert len(interrupted["cut"]["visits"]) == 2 * 2


def test_chief_and_workers_lose_nothing_when_a_worker_is_killed(tmp_path):
    result = _run("distributed_search.py", tmp_path)
    assert "Worker worker-0 has been silent" in result.stderr
    chief = _told(result)
    assert len(chief["ended"]) == len(set(chief["ended"])) == 2 * 2
    assert set(chief["statuses"]) == {"COMPLETED"}
    assert len(chief["visits"]) == 2 * 2
    assert chief["best"]["patch_size"] == 4


def test_worker_that_stops_at_an_error_gives_its_trial_back_and_failures_reach_the_chief(tmp_path):
    result = _run("failing_workers.py", tmp_path)
    told = _told(result)
    assert told["slip"] == 1, "the worker raises"
    assert (told["whole"], told["chief"]) == (0, 0)
    assert told["trials"] == ["COMPLETED"] * 4
    assert "Worker worker-0 stopped at an error" in result.stderr
    assert (told["failing"], told["failing_chief"]) == (0, 1)
