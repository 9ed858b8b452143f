"""A campaign tells a job that bears its faults from one that does not."""

import os
import time

import pytest

from mcuformer_tflm.bench.faults import disks, kills, processes, same_again
from mcuformer_tflm.bench.faults.forks import fork
from mcuformer_tflm.keras_models.folder_lock import locked
from mcuformer_tflm.keras_models.whole_file import write_whole

STEPS, PAUSE = 10, 0.02


def _work(folder, write):
    """Counts to ten, and goes on where it was."""
    path = folder / "count"
    done = int(path.read_text()) if path.exists() else 0
    while done < STEPS:
        done += 1
        write(path, str(done))
        time.sleep(PAUSE)
    return done


def good(folder):
    with locked(folder / "project"):
        return {"count": _work(folder, write_whole)}


def counting_its_starts(folder):
    with open(folder / "starts", "a") as file:
        file.write(".")
    _work(folder, write_whole)
    return {"starts": (folder / "starts").stat().st_size}


def leaving_parts(folder):
    (folder / f"{os.getpid()}.partial").touch()
    return {"count": _work(folder, write_whole)}


@pytest.fixture
def jobs(monkeypatch):
    """Gives the campaigns these jobs, which need no TensorFlow."""

    def give(*functions):
        for module in (kills, disks, processes):
            monkeypatch.setattr(module, "JOBS", {job.__name__: job for job in functions})
            monkeypatch.setattr(module, "load", lambda: None)
            monkeypatch.setattr(module, "prepare", lambda: None)

    return give


def quiet(label, done, total, info=""):
    pass


def test_kills_tell_what_a_kill_changes_and_what_it_leaves(jobs):
    jobs(good, counting_its_starts, leaving_parts)
    found = kills.run("short", quiet)
    assert (found.tried, found.survived, found.lost) == (6, 2, 4)
    assert "without a kill {'starts': 1}" in found.details[0]
    assert any(".partial" in detail for detail in found.details)


def test_a_job_that_fails_before_any_kill_has_lost(jobs):
    def fails(folder):
        raise ValueError("of its own")

    jobs(fails)
    found = kills.run("short", quiet)
    assert found.lost == found.tried == 1
    assert "of its own" in found.details[0]


def heedless(folder):
    """Goes on whatever cannot be written."""
    try:
        _work(folder, write_whole)
    except Exception:
        return {"count": 0}
    return {"count": STEPS}


def raw(folder):
    folder.mkdir(exist_ok=True)
    return {"count": _work(folder, lambda path, text: path.write_text(text * 10_000) and None)}


def test_disks_tell_errors_that_are_swallowed_or_not_ours(jobs, monkeypatch, tmp_path):
    if "ToolchainError" in fork(disks.leave_mounts, 60, tmp_path / "log").told:
        pytest.skip("this system lets no process mount")

    def filling(folder):
        write_whole(folder / "much", bytes(100_000))
        return {"count": _work(folder, write_whole)}

    jobs(filling, heedless, raw)
    monkeypatch.setattr(disks, "COMMANDS", {})
    found = disks.run("short", quiet)
    assert found.tried == 6
    lost = " ".join(found.details)
    assert "filling" not in lost
    assert "heedless on a read-only disk" in lost
    assert "ended as if nothing were" in lost
    assert "raw on a read-only disk" in lost
    assert "OSError" in lost


def test_processes_tell_whether_a_second_one_is_refused(jobs, tmp_path):
    jobs(good)
    assert processes.two_of("good")(tmp_path) is None

    def unlocked(folder):
        (folder / ".lock").write_text("held")
        _work(folder, write_whole)
        (folder / ".lock").unlink()
        return {}

    jobs(unlocked)
    assert "both went on" in processes.two_of("unlocked")(tmp_path / "b")


@pytest.mark.parametrize("plant", [processes._hanging_worker, processes._dying_chief])
def test_a_search_whose_workers_end_before_any_trial_is_told(plant, monkeypatch, tmp_path):
    def fails(folder):
        raise RuntimeError("no such luck")

    monkeypatch.setattr(processes, "prepare", lambda: None)
    monkeypatch.setattr(processes, "distributed_search", fails)
    assert "no such luck" in plant(tmp_path)


def test_the_same_again_tells_what_differs(monkeypatch):
    monkeypatch.setattr(same_again, "fresh", lambda threads, variables: str(threads))
    found = same_again.run("short", quiet)
    assert (found.tried, found.lost) == (3, 1)
    assert found.details == ("four threads: gave 4, and 1 before",)
