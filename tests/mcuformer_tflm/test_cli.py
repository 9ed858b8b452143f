import gzip
import subprocess
import sys

import pytest

from mcuformer_tflm.baselines.making import shipped_baselines
from mcuformer_tflm.zoo.catalogue import model_card, model_names


def _run(*arguments):
    result = subprocess.run(
        [sys.executable, "-m", "mcuformer_tflm.cli", *map(str, arguments)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    return result.returncode, result.stdout, result.stderr


@pytest.fixture(scope="module")
def model_file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.tflite"
    path.write_bytes(model)
    return path


@pytest.mark.parametrize("command", ["demo", "emulate", "firmware", "plan", "verify"])
def test_help_explains_with_an_example(command):
    status, out, _ = _run(command, "--help")
    assert status == 0
    assert f"Example: mcuformer {command}" in " ".join(out.split())


def test_verify_prints_the_accuracy_from_the_file_alone(model_file):
    status, out, err = _run("verify", model_file, "--limit", 50)
    assert status == 0, err
    assert "int8 accuracy in TFLM" in out
    assert "of 50" in out


def test_plan_prints_the_map_and_draws_it(model_file, tmp_path):
    picture = tmp_path / "map.svg"
    status, out, err = _run("plan", model_file, "--board", "stm32f427", "--picture", picture)
    assert status == 0, err
    assert "block_0_attention" in out
    assert "a head at a time, tokens normalised again for each in 2 of 2 blocks" in " ".join(
        out.split()
    )
    assert "It fits stm32f427" in " ".join(out.split())
    assert "▓ in place" in out
    assert picture.read_text().lstrip().startswith("<?xml")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["demo", "--board", "stm32f999"], "There is no board 'stm32f999'"),
        (["demo", "--sram-kib", "1"], "No subnet of this space fits"),
        (["demo", "--weight-bits", "2"], "weight_bits is 2; allowed are 4 and 8"),
        (["demo", "--data-folder", "/nowhere"], "apt-get install dataset-fashion-mnist"),
        (["plan", "/nowhere.tflite"], "/nowhere.tflite cannot be read"),
        (["verify", "/nowhere.tflite", "--data", "imagenet"], "no data set 'imagenet'"),
    ],
)
def test_bad_input_ends_in_one_paragraph_without_traceback(arguments, told, tmp_path):
    out_folder = tmp_path / "out"
    if arguments[0] == "demo":
        arguments = [*arguments, "--out", out_folder]
    status, _, err = _run(*arguments)
    assert status == 1
    assert told in " ".join(err.split())
    assert "Traceback" not in err
    assert not list(out_folder.glob("*.*")), "nothing half-written is left"


def test_truncated_model_ends_in_one_paragraph(model, tmp_path):
    path = tmp_path / "short.tflite"
    path.write_bytes(model[: len(model) // 2])
    status, _, err = _run("verify", path)
    assert status == 1
    assert "damaged or cut short" in " ".join(err.split())
    assert "Traceback" not in err


def test_damaged_data_set_is_named(tmp_path, model_file):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"short"))
    status, _, err = _run("verify", model_file, "--data-folder", tmp_path)
    assert status == 1
    assert "train-images-idx3-ubyte.gz is no intact IDX file" in " ".join(err.split())


def test_zoo_list_tells_names_and_figures_whole_in_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, err = _run("zoo", "list")
    assert status == 0, err
    rows = {words[1]: words for words in map(str.split, out.splitlines()) if words[:1] == ["│"]}
    for name in (*model_names(), *shipped_baselines()):
        card = shipped_baselines().get(name) or model_card(name)
        assert rows[name][3::2] == [
            f"{card.float_top1:.2%}", f"{card.int8_top1:.2%}", f"{card.arena_bytes:,}",
            f"{card.flash_bytes:,}", f"{card.macs:,}",
        ]  # fmt: skip
