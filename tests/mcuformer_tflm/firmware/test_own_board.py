"""docs/own-board.md as its reader follows it: files saved, commands run, in their order."""

import re
import shlex
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from code_blocks import read
from typer.testing import CliRunner

from mcuformer_tflm.cli import app
from mcuformer_tflm.emulator.arm_boards import ARM_BOARDS
from mcuformer_tflm.firmware.build import read_image
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.search.board import get_board

PAGE = read("docs/own-board.md")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
# What a start-up names stands beside the file; readers of the page save it there too.
NAMED = re.compile(r"(?:#|//) (\S+\.(?:toml|cc))\n")


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """The reader's folder at the end of the page, and what each command wrote."""
    folder = tmp_path_factory.mktemp("own_board")
    told = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
        for language, text in BLOCK.findall(PAGE):
            if name := NAMED.match(text):
                (folder / name[1]).write_text(text)
            elif language == "sh":
                for line in text.splitlines():
                    told[line] = _run(shlex.split(line))
    return folder, told


def _run(command):
    if command[0] == "mcuformer":  # in this process: TensorFlow takes seconds to load
        result = CliRunner().invoke(app, command[1:])
        assert result.exit_code == 0, (command, result.output)
        return " ".join(result.output.split())
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, (command, result.stdout + result.stderr)
    return result.stdout


def test_firmware_for_a_readers_board_gives_tflms_bytes_by_the_page_alone(followed):
    folder, told = followed
    emulations = {line: text for line, text in told.items() if line.startswith("mcuformer emulate")}
    assert len(emulations) == len(list(folder.glob("*.toml"))) == 2
    for line, text in emulations.items():
        name = re.search(r"--board (\S+)\.toml", line)[1]
        assert f"{name} emulated (mps2-an" in text
        assert "2 of 2 images give TFLM's bytes" in text


@pytest.mark.parametrize(("board", "project"), [("nucleo-f446re", "nucleo"), ("rp2350", "rp2350")])
def test_the_image_lies_in_the_memories_of_the_readers_file(followed, board, project):
    folder, _ = followed
    target = get_board(folder / f"{board}.toml")
    image = (folder / project / "build/firmware.bin").read_bytes()
    stack, reset = struct.unpack("<II", image[:8])
    [sram] = target.sram_regions
    assert sram.address < stack <= sram.address + sram.size
    assert target.flash_address < reset < target.flash_address + len(image)
    assert len(image) <= target.flash
    built = read_image(folder / project / "build/firmware.elf")
    outside = (folder / project / "build/firmware_external.bin").stat().st_size
    assert (outside > 0) == (target.external_flash > 0)
    assert len(image) + outside >= built.code_bytes + built.constant_bytes - 64


def test_the_boot_rom_finds_the_rp2350s_image_definition_in_its_first_4_kilobytes(followed):
    folder, _ = followed
    image = (folder / "rp2350/build/firmware.bin").read_bytes()
    # Data sheet, 5.9.5: markers around one item, the image's type, and a list of one block.
    start = image.index(struct.pack("<I", 0xFFFFDED3))
    assert start == 4 * (16 + 52), "behind the vectors"
    words = struct.unpack_from("<5I", image, start)
    assert (words[1] & 0xFF, words[1] >> 16, words[3], words[4]) == (0x42, 0x1021, 0, 0xAB123579)


def test_the_page_names_every_field_and_the_emulators_machines(tmp_path):
    fields = set(re.findall(r"^\| `(?:\[+)?(\w+)(?:\]+)?` \|", PAGE, re.MULTILINE))
    (tmp_path / "x.toml").write_text("x = 1")
    with pytest.raises(ConfigError) as error:
        get_board(tmp_path / "x.toml")
    allowed = re.search(r"allowed are ([\w, ]+)\.", str(error.value))[1]
    assert fields == set(allowed.split(", "))
    for core, machine in ARM_BOARDS.items():
        row = re.search(rf"^\| Cortex-{core[7:].upper()} \| `{machine.name}`.*$", PAGE, re.M)[0]
        sizes = [int(size) << 20 for size in re.findall(r"(\d+) MB", row)]
        assert sizes == [m.size for m in (machine.flash, machine.sram, machine.external)]
