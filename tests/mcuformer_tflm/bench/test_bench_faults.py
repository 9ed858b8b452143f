"""Campaigns of faults: what is lost is told, and a campaign can lose."""

import json
import mmap
import os
import signal
import sys
import time
import types

import pytest
from typer.testing import CliRunner

from mcuformer_tflm.bench import faults
from mcuformer_tflm.bench.faults import long_runs
from mcuformer_tflm.bench.faults.forks import fork
from mcuformer_tflm.bench.faults.result import CampaignResult, Tally
from mcuformer_tflm.cli import app
from mcuformer_tflm.cli import bench as cli_bench
from mcuformer_tflm.keras_models.exceptions import ConfigError


@pytest.fixture
def campaigns(monkeypatch):
    """Three campaigns: one bears all, one loses, one stops at an error."""

    def stops(effort, report):
        raise RuntimeError("no such luck")

    found = {
        "bears": lambda effort, report: CampaignResult(3, 3, 0, figures={"bytes": (5, "bytes")}),
        "loses": lambda effort, report: CampaignResult(3, 1, 2, ("one fell", "another fell")),
        "stops": stops,
    }
    for name, run in found.items():
        module = types.ModuleType(name)
        module.run = run
        monkeypatch.setitem(sys.modules, f"{faults.__name__}.{name}", module)
    monkeypatch.setattr(faults, "CAMPAIGNS", tuple(found))


def _bench(*arguments):
    result = CliRunner().invoke(app, ["bench", "faults", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.usefixtures("campaigns")
def test_what_was_lost_is_told_and_ends_the_command_with_status_1(tmp_path):
    file = tmp_path / "rows.json"
    status, out, err = _bench("--json", file)
    assert status == 1
    assert "loses, stops" in err
    assert "bears" in out
    told = {(row["case"], row["metric"]): row for row in json.loads(file.read_text())}
    assert [told["bears", part]["value"] for part in ("tried", "survived", "lost")] == [3, 3, 0]
    assert told["bears", "bytes"]["value"] == 5
    assert told["loses", "lost"]["value"] == 2
    assert told["loses", "lost"]["note"] == "one fell; another fell"
    assert "RuntimeError: no such luck" in told["stops", "lost"]["note"]


@pytest.mark.usefixtures("campaigns")
def test_campaigns_which_fork_begin_with_a_tensorflow_that_has_not_started(monkeypatch):
    started = []
    monkeypatch.setattr(cli_bench, "import_tensorflow_quietly", lambda start: started.append(start))
    _bench()
    assert started == [False]


@pytest.mark.usefixtures("campaigns")
def test_one_campaign_can_be_run_alone():
    status, out, _ = _bench("--only", "bears")
    assert (status, "loses" in out) == (0, False)
    status, _, err = _bench("--only", "other")
    assert (status, "only is 'other'; allowed are" in " ".join(err.split())) == (1, True)
    status, _, err = _bench("--effort", "little")
    assert (status, "effort is 'little'" in err) == (1, True)


def test_a_campaign_that_tried_nothing_has_no_result():
    for numbers in ((0, 0, 0), (2, 2, 1), (1, -1, 1)):
        with pytest.raises(ConfigError):
            CampaignResult(*numbers)
    with pytest.raises(ConfigError):
        Tally().result()


def test_a_fork_tells_how_it_ended(tmp_path):
    log = tmp_path / "log"
    assert fork(lambda: print("well"), 60, log).problem is None
    assert "status 1: Traceback" in (raised := fork(lambda: int("x"), 60, log).problem)
    assert raised.endswith("base 10: 'x'")
    assert fork(lambda: os.kill(os.getpid(), signal.SIGUSR1), 60, log).problem == "SIGUSR1"
    assert "a reason" in fork(lambda: sys.exit("a reason"), 60, log).problem
    start = time.monotonic()
    assert fork(lambda: time.sleep(60), 0.1, log).problem == "hung"
    killed = fork(lambda: time.sleep(60), 0.1, log, kill=True)
    assert (killed.status, killed.hung) == (-signal.SIGKILL, False)
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    ("kept", "told"),
    [("memory", "MiB more memory"), ("descriptors", "descriptors became"), (None, None)],
)
def test_growth_is_noticed(kept, told):
    held = []

    def step():
        if kept == "memory":
            # Of its own, whatever the allocator has in stock.
            held.append(mmap.mmap(-1, 1 << 20))
            held[-1].write(bytes(1 << 20))
        if kept == "descriptors":
            held.append(os.open(os.devnull, os.O_RDONLY))

    tally = Tally()
    long_runs.repeat("work", step, 20, tally, lambda *_: None)
    found = tally.result()
    assert found.lost == (kept is not None)
    assert told is None or told in found.details[0]
    if kept == "descriptors":
        for descriptor in held:
            os.close(descriptor)
