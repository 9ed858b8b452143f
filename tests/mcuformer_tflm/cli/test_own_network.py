"""One network on one's own images, by three commands that hand on in a folder."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from op_by_op import op_by_op
from typer.testing import CliRunner

from mcuformer_tflm.cli import app
from mcuformer_tflm.data.image_data import from_npz, quantize_images
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.saved_model import load_model
from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
from mcuformer_tflm.task import network_steps
from mcuformer_tflm.task.page.record import RunRecord
from mcuformer_tflm.zoo.catalogue import model_path

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("op_by_op")]
LABELS = ("dark", "grey", "light")
TINY = Architecture(
    image_size=28, channels=1, num_classes=10, patch_size=4, rank_ratio=None, head_dim=4,
    embed_dim=8, num_heads=(1,), mlp_ratio=(1.0,),
)  # fmt: skip


def run(*words):
    result = CliRunner().invoke(app, list(map(str, words)))
    expected = result.exception is None or isinstance(result.exception, SystemExit)
    assert expected, result.exception
    return SimpleNamespace(status=result.exit_code, out=result.stdout, err=result.stderr)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with images of three classes, and a network of other images and ten classes."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, 60).astype(np.int32)
    images = (rng.integers(0, 60, (60, 8, 8)) + 80 * classes[:, None, None]).astype(np.uint8)
    folder = tmp_path_factory.mktemp("own")
    np.savez(
        folder / "shades.npz", train_images=images, train_classes=classes,
        test_images=images[::3], test_classes=classes[::3], labels=np.array(LABELS),
    )  # fmt: skip
    (folder / "tiny.json").write_text(TINY.to_json())
    return folder


@pytest.fixture(scope="module")
def steps(place):
    """What each command printed for machines."""
    out = place / "out"
    with op_by_op():
        trained = run(
            "train", place / "tiny.json", "--data", place / "shades.npz", "--epochs", 2,
            "--batch-size", 18, "--board", "stm32f427", "--out", out, "--seed", 3, "--json", "-",
        )  # fmt: skip
        quantized = run("quantize", out, "--epochs", 1, "--json", "-")
        converted = run("convert", out, "--json", place / "told" / "convert.json")
    for step in (trained, quantized, converted):
        assert step.status == 0, step.err
    return SimpleNamespace(out=out, trained=trained, quantized=quantized, converted=converted)


def test_three_commands_end_with_a_model_of_the_images_own_classes(steps, place):
    data, interpreter = from_npz(place / "shades.npz"), MicroInterpreter(steps.out / "model.tflite")
    assert interpreter.labels == LABELS
    assert interpreter.architecture.image_shape == (8, 8, 1)
    assert interpreter.architecture.embed_dim == TINY.embed_dim
    chosen = interpreter.run(quantize_images(data.test_images)).argmax(-1)
    told = json.loads((place / "told" / "convert.json").read_text())
    assert told["int8_top1"] == (chosen == data.test_classes).mean()
    assert (told["board"], told["seed"]) == ("stm32f427", 3), "as it was trained"


def test_standard_output_is_json_alone_where_a_machine_asked_for_it(steps):
    trained, quantized = json.loads(steps.trained.out), json.loads(steps.quantized.out)
    assert trained["validation_images"] == quantized["validation_images"] == 6
    assert trained["architecture"]["num_classes"] == 3
    assert "go on with `mcuformer quantize" in steps.trained.err
    assert quantized["network"] == str(steps.out / "quantized.keras")


def test_the_folder_has_what_a_search_leaves_and_each_step(steps):
    names = {path.name for path in steps.out.iterdir()}
    assert names == {
        "network.keras", "train.toml", "quantized.keras", "model.tflite", "report.json",
        "record.json", "report.html", "memory_map.png", "sqnr.png",
    }  # fmt: skip
    record = RunRecord.read(steps.out / "record.json")
    assert [curve.name for curve in record.curves] == [
        "the network in float", "the same with rounding",
    ]  # fmt: skip
    assert record.command == f"mcuformer train {steps.out}/train.toml --out {steps.out}"
    assert load_model(steps.out / "quantized.keras").quantized
    assert not load_model(steps.out / "network.keras").quantized


def test_its_run_file_trains_the_same_network_again_interrupted_or_not(steps, place, monkeypatch):
    kept = network_steps.train_subnet

    def interrupted(*arguments, progress, **options):
        def report(done, total):
            progress(done, total)
            if done == total // 2 + 1:
                raise KeyboardInterrupt

        kept(*arguments, progress=report, **options)

    words = ("train", steps.out / "train.toml", "--out", place / "cut")
    monkeypatch.setattr(network_steps, "train_subnet", interrupted)
    assert run(*words).status == 130, "as the documents say"
    assert not (place / "cut" / "network.keras").exists()
    monkeypatch.undo()
    assert "run.epochs is 2 there and 3 here" in run(*words, "--epochs", 3).err
    assert run(*words).status == 0
    assert (
        "holds no quantized.keras; run `mcuformer quantize` first"
        in run("convert", place / "cut").err
    )
    one, other = (
        load_model(folder / "network.keras").get_weights() for folder in (steps.out, place / "cut")
    )
    assert all(map(np.array_equal, one, other))


def test_a_network_saved_alone_is_converted_with_the_labels_that_are_given(steps, place):
    alone = place / "alone"
    alone.mkdir()
    shutil.copyfile(steps.out / "quantized.keras", alone / "mine.keras")
    refused = run("convert", alone / "mine.keras")
    assert refused.status == 1
    assert "give --data, or --labels" in refused.err
    (alone / "labels.txt").write_text("a\nb\nc\n")
    done = run("convert", alone / "mine.keras", "--labels", alone / "labels.txt")
    assert done.status == 0, done.err
    converted = (alone / "model.tflite").read_bytes()
    assert MicroInterpreter(converted).labels == ("a", "b", "c")
    assert not (alone / "report.json").exists()
    small = place / "small.toml"
    small.write_text(
        'name = "small"\ncore = "cortex-m4"\nflash = { address = 0x08000000, kib = 128 }\n'
        '[[sram]]\nname = "ram"\naddress = 0x20000000\nkib = 2\n'
    )  # fmt: skip
    told = run("convert", alone / "mine.keras", "--labels", alone / "labels.txt", "--board", small)
    assert told.status == 1
    assert "Error: " in told.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", "nothing", "--data", "DATA"], "There is no network 'nothing'; give a name of"),
        (["train", "fashion_mnist_16k"], "data is missing; name a data set by --data"),
        (["train", "PLACE", "--data", "DATA"], "holds neither report.json nor model.tflite"),
        (["train", "DATA.json", "--data", "DATA"], "cannot be read as JSON"),
        (["train", "TINY", "--data", "DATA", "--board", "stm32f999"], "no board 'stm32f999'"),
        (["train", "TINY", "--data", "DATA", "--start", "odd"], "start is 'odd'"),
        (["train", "TINY", "--data", "DATA", "--epochs", "0"], "epochs is 0"),
        (["train", "ZOO", "--data", "DATA", "--batch-size", "4"], "patch_size"),
        (["quantize", "PLACE"], "holds no network.keras; run `mcuformer train` first"),
        (["convert", "PLACE/none.keras", "--labels", "TINY"], "cannot be loaded as a network"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(place, words, told):
    model = place / "wide.tflite"
    model.write_bytes(model_path("fashion_mnist_16k").read_bytes())
    names = {"DATA": place / "shades.npz", "PLACE": place, "TINY": place / "tiny.json"}
    big = Architecture(**{**TINY.to_dict(), "patch_size": 14})
    (place / "big.json").write_text(big.to_json())
    names["ZOO"] = place / "big.json"
    for name, path in names.items():
        words = [word.replace(name, str(path)) for word in words]
    result = run(*words)
    assert result.status == 1
    assert told in " ".join(result.err.split())
    assert len(result.err.splitlines()) == 1


def test_a_network_that_its_board_cannot_hold_is_refused_before_it_is_trained(place, monkeypatch):
    monkeypatch.setattr(network_steps, "train_subnet", pytest.fail)
    wide = Architecture(**{**TINY.to_dict(), "embed_dim": 1024, "mlp_ratio": (4.0,)})
    (place / "wide.json").write_text(wide.to_json())
    result = run(
        "train", place / "wide.json", "--data", place / "shades.npz", "--board", "stm32f427",
        "--out", place / "wide", "--batch-size", 9,
    )  # fmt: skip
    assert result.status == 1
    assert "The network exceeds stm32f427" in result.err
    assert "flash by" in result.err
