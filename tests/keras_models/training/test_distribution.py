import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import one_step
import pytest
import tensorflow as tf

from mcuformer_tflm.keras_models.training.checkpoint import read_arrays


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """(loss, state) after one step on one device, and as each strategy left it."""
    folder = tmp_path_factory.mktemp("runs")
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for one in sockets:
            one.bind(("localhost", 0))
        addresses = [f"localhost:{one.getsockname()[1]}" for one in sockets]
    started = subprocess.Popen(
        [sys.executable, one_step.__file__, folder, *addresses],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    trainer = one_step.build(tf.distribute.get_strategy())
    start = trainer.model.get_weights()
    losses = {"one": one_step.train_one_step(trainer, folder / "one.npz")}
    steps = [np.abs(a - b).max() for a, b in zip(start, trainer.model.get_weights(), strict=True)]
    assert max(steps) > 1e-3, "too small a step to tell right from wrong"
    output, errors = started.communicate(timeout=300)
    assert started.returncode == 0, errors[-3000:]
    losses |= json.loads(output.splitlines()[-1])
    return losses, folder


@pytest.mark.parametrize("strategy", ["mirrored", "worker 0", "worker 1"])
def test_one_step_on_two_replicas_equals_one_step_on_one_device(runs, strategy):
    losses, folder = runs
    np.testing.assert_allclose(losses[strategy], losses["one"], rtol=1e-5)
    one, other = (read_arrays(Path(folder) / f"{name.split()[0]}.npz")
                  for name in ("one", strategy))  # fmt: skip
    assert one.keys() == other.keys()
    for name in one:
        if name != "state":
            np.testing.assert_allclose(one[name], other[name], atol=2e-6, err_msg=name)
