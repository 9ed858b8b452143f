import gc
import hashlib
import os
import pickle
import random
import shutil
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if shutil.which("ccache"):
    # Every project of firmware has the same kernels, in a folder of its own.
    os.environ.setdefault("CMAKE_CXX_COMPILER_LAUNCHER", "ccache")
    os.environ.setdefault("CCACHE_DIR", str(Path(__file__).parents[1] / "build/ccache"))
    os.environ.setdefault("CCACHE_BASEDIR", "/")
    os.environ.setdefault("CCACHE_NOHASHDIR", "1")
# Helpers shared by test folders (one_op_model, on_cortex_m) lie beside this file.
sys.path.insert(0, str(Path(__file__).parent / "helpers"))

import numpy as np
import pytest
from hypothesis import Phase, settings

from mcuformer_tflm import data as datasets
from mcuformer_tflm.emulator import machine, toolchain
from mcuformer_tflm.keras_models.architecture import Architecture

TESTS = Path(__file__).parent
SEEDED_FOR = pytest.StashKey()
# What trains networks, traces the graphs of quantized ones or counts instructions by the hundred
# million: `make test-fast` leaves it out.
SLOW = (
    "end_to_end",
    "keras_models/quantization/test_quantizers.py",
    "keras_models/layers/test_integer_layers.py",
    "keras_models/test_images.py",
    "keras_models/test_keras_habits.py",
    "keras_models/test_saved_model.py",
    "keras_models/test_supernet.py",
    "keras_models/training",
    "mcuformer_tflm/bench/test_bench_kernels.py",
    "mcuformer_tflm/bench/test_bench_quantization.py",
    "mcuformer_tflm/bench/test_supernet_step.py",
    "mcuformer_tflm/convert/test_flash.py",
    "mcuformer_tflm/convert/test_network_options.py",
    "mcuformer_tflm/convert/test_own_networks.py",
    "mcuformer_tflm/quantize",
    "mcuformer_tflm/referee",
    "mcuformer_tflm/runtime/test_runtime_threads.py",
    "mcuformer_tflm/task",
    "mcuformer_tflm/zoo",
    "search/tuners",
)
# TensorFlow makes objects by the million while it traces, and few of them are garbage.
gc.set_threshold(100_000, 20, 20)

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=25)
settings.register_profile(
    "unshrunken", settings.get_profile("repeatable"), phases=(Phase.explicit, Phase.generate)
)
settings.load_profile("repeatable")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: trains networks, or is long")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if any(item.path.is_relative_to(TESTS / room) for room in SLOW):
            item.add_marker("slow")
    # The long ones first, so that no process is left with one at the end.
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Seeds what draws weights, so that a file's tests meet the same ones whatever ran before."""
    random.seed(0)
    # It also empties TensorFlow's caches, which before every test would take long.
    if "tensorflow" in sys.modules and item.config.stash.get(SEEDED_FOR, None) != item.path:
        sys.modules["tensorflow"].random.set_seed(0)
        item.config.stash[SEEDED_FOR] = item.path


@pytest.fixture(scope="session", autouse=True)
def _kernels_are_compiled_once():
    """Keeps the emulated machines' kernels for other processes and later runs."""
    folder = TESTS.parent / "build" / "test-kernels"
    content = hashlib.sha256(Path(toolchain.__file__).read_bytes())
    for path in sorted(toolchain.kernel_folder().rglob("*.*")):
        content.update(path.read_bytes())

    def build(core, portable=False):
        compiler = Path(toolchain.find_tool(toolchain.COMPILER)).stat().st_mtime_ns
        kept = folder / f"{content.hexdigest()}-{compiler}-{core}-{portable}"
        if not kept.exists():
            folder.mkdir(parents=True, exist_ok=True)
            partial = kept.with_suffix(f".{os.getpid()}")
            partial.write_bytes(pickle.dumps(toolchain.build_kernels(core, portable)))
            partial.replace(kept)
        return pickle.loads(kept.read_bytes())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "build_kernels", build)
        yield


@pytest.fixture(name="op_by_op")
def _op_by_op():
    """For ``usefixtures``: see the helper, which fixtures of longer life use themselves."""
    from op_by_op import op_by_op

    with op_by_op():
        yield


@pytest.fixture(scope="session")
def fashion_mnist():
    return datasets.fashion_mnist()


@pytest.fixture(scope="session")
def architecture():
    return Architecture(
        image_size=28, channels=1, num_classes=10, patch_size=7, rank_ratio=0.8, head_dim=16,
        embed_dim=32, num_heads=(2, 3), mlp_ratio=(2.0, 3.0),
    )  # fmt: skip


@pytest.fixture(scope="session")
def subnet(architecture):
    """A float network of random weights."""
    import tf_keras

    from mcuformer_tflm.keras_models.subnet import build_subnet

    tf_keras.utils.set_random_seed(1)
    subnet = build_subnet(architecture)
    rng = np.random.default_rng(0)
    for weight in subnet.trainable_weights:
        weight.assign_add(0.02 * rng.standard_normal(weight.shape))
    return subnet


@pytest.fixture(scope="session")
def quantized(subnet, fashion_mnist):
    """The same network quantized, calibrated on real images."""
    return subnet.quantized_copy([datasets.normalise(fashion_mnist.train_images[:128])])


@pytest.fixture(scope="session")
def model(quantized, fashion_mnist):
    from mcuformer_tflm import convert

    return convert(quantized, fashion_mnist.labels)


@pytest.fixture(scope="session")
def interpreter(model):
    from mcuformer_tflm import MicroInterpreter

    return MicroInterpreter(model)
