"""A board from a TOML file, and what a wrong one is told."""

import re

import pytest

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.search.board import Board, SramRegion, all_boards, get_board
from mcuformer_tflm.search.board_file import BOARD_FOLDER
from mcuformer_tflm.search.cost.budget import Budget

WHOLE = """
name = "mine"
core = "cortex-m7"
fpu = "fpv5-d16"
megahertz = 400
interrupts = 163
start_up = "wake.cc"
flash = { address = 0x08000000, kib = 1024 }
external_flash = { address = 0x90000000, kib = 65536, bytes_per_second = 133_000_000 }

[[sram]]
name = "axi"
address = 0x24000000
kib = 512

[[sram]]
name = "dtcm"
address = 0x20000000
kib = 128

[[peripherals]]
name = "io"
address = 0x40000000
kib = 1024

[calibration]
cycles_per_instruction = 1.12
"""


@pytest.fixture
def file(tmp_path):
    """Writes a board's file, the one above with something replaced."""
    (tmp_path / "wake.cc").touch()

    def write(old="", new="", text=WHOLE):
        assert old in text
        path = tmp_path / "mine.toml"
        path.write_text(text.replace(old, new, 1))
        return path

    return write


def test_a_file_makes_the_board_that_it_describes(file, tmp_path):
    path = file()
    assert get_board(str(path)) == get_board(path) == Board(
        "mine",
        "cortex-m7",
        (SramRegion("axi", 0x24000000, 512 << 10), SramRegion("dtcm", 0x20000000, 128 << 10)),
        1 << 20,
        external_flash=64 << 20,
        flash_address=0x08000000,
        external_flash_address=0x90000000,
        external_bytes_per_second=133_000_000,
        megahertz=400,
        cycles_per_instruction=1.12,
        interrupts=163,
        fpu="fpv5-d16",
        peripherals=(SramRegion("io", 0x40000000, 1 << 20),),
        start_up=str(tmp_path / "wake.cc"),
    )  # fmt: skip
    assert Budget.of_board(str(path)).banks == (128 << 10,)


def test_what_a_file_leaves_out_is_unknown(file):
    text = re.sub(r"(?m)^(fpu|megahertz|interrupts|start_up|external).*\n|\[\[per[^$]*", "", WHOLE)
    board = get_board(file(text=text))
    assert (board.external_flash, board.external_bytes_per_second) == (0, 0)
    assert (board.megahertz, board.cycles_per_instruction, board.start_up) == (None, None, None)


def test_each_known_board_is_the_file_of_its_name():
    names = [path.stem for path in BOARD_FOLDER.iterdir()]
    assert sorted(names) == [board.name for board in all_boards()]
    assert "stm32f427" in names
    for board in all_boards():
        assert get_board(BOARD_FOLDER / f"{board.name}.toml") == board
        assert board.megahertz is not None


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("megahertz", "mhz", "there is no field mhz; allowed are name, core"),
        ("megahertz", "megaherz", "there is no field megaherz; .* Did you mean megahertz?"),
        ("address = 0x24", "addres = 0x24", r"no field sram\[0\].addres; .*mean address"),
        ("bytes_per_second", "bytes_a_second", "no field external_flash.bytes_a_second"),
        ("cycles_per", "cycle_per", "no field calibration.cycle_per_instruction"),
        ('name = "mine"', "", "name is missing"),
        ('name = "dtcm"', "", r"sram\[1\].name is missing"),
        (", kib = 1024", "", "flash.kib is missing"),
        ('"mine"', "3", "name is 3; it must be a text"),
        ('"mine"', '"a b"', "name is 'a b'; allowed are letters, digits"),
        ("cortex-m7", "cortex-m3", "core is 'cortex-m3'; allowed are 'cortex-m33', 'cortex-m4'"),
        ("fpv5-d16", "fpv4-sp-d16", "fpu is 'fpv4-sp-d16'; allowed are 'fpv5-sp-d16' and"),
        ('m7"\nfpu = "fpv5', 'm4"\nfpu = "fpv5', "fpu is 'fpv5-d16'; allowed are 'fpv4-sp-d16'.$"),
        ("kib = 512", "kib = 0", r"sram\[0\].kib is 0; it must be at least 1"),
        ("kib = 512", "kib = 0.5", r"sram\[0\].kib is 0.5; it must be a whole number"),
        ("kib = 1024", "kib = true", "flash.kib is True"),
        ("= 0x08000000", "= -1", "flash.address is -1; it must be at least 0"),
        ("= 400", "= 0", "megahertz is 0"),
        ("= 1.12", "= 0", r"calibration.cycles_per_instruction is 0; it must be a number in \(0"),
        ("133_000_000", "nan", "external_flash.bytes_per_second is nan"),
        ('"wake.cc"', '"sleep.cc"', "start_up is 'sleep.cc', and there is no file"),
        ('"wake.cc"', '"../wake"', "start_up is '../wake'; allowed are a name, or the path"),
        ("0x24000000", "0x20000000", r"(axi|dtcm) \(0x20000000 to 0x200.ffff\) and .* overlap"),
        ("0x90000000", "0x08080000", r"flash \(0x08000000 to 0x080fffff\) and external_flash"),
        ("0x90000000", "0xF0000000", None),
        ("0x90000000", "0xFF000000", "external_flash .* ends beyond 32 bits of address"),
        ("0x40000000", "0x90000000", r"(io|external_flash) \(0x90000000 to .* overlap"),
        ('"dtcm"', '"AXI"', "sram_regions has 'axi' twice"),
        ('"dtcm"', '"Flash"', "sram_regions has 'flash' as a name, which is taken"),
        ('"dtcm"', '"a-b"', "name is 'a-b'; allowed are a letter, then letters, digits and _"),
        ("[[sram]]", "[[ram]]", "there is no field ram; .* Did you mean sram?"),
        ("flash = {", "flash = 3 # {", "flash is 3; it must be a table"),
        ("core =", "core ", "it is no TOML: .*line 3"),
        (WHOLE, "x = " + 9999 * "[", "it is no board: its values are nested too deeply"),
        (WHOLE, "", "name is missing"),
        (WHOLE, WHOLE.split("[[", maxsplit=1)[0] + "sram = []", "sram is .*; it must be one"),
        (WHOLE, WHOLE.split("[[", maxsplit=1)[0] + "sram = [3]", r"sram\[0\] is 3; it must be a"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_told_with_its_field_and_what_is_allowed(file, old, new, told):
    path = file(old, new)
    if told is None:
        get_board(path)
        return
    with pytest.raises(ConfigError) as error:
        get_board(str(path))
    assert str(error.value).startswith(f"{path}: ")
    assert re.search(told, str(error.value)), error.value


def test_a_floating_point_unit_is_that_of_a_core_which_firmware_is_built_for():
    with pytest.raises(ConfigError, match=r"core is 'cortex-m85'; allowed are 'cortex-m33'"):
        Board("mine", "cortex-m85", (SramRegion("a", 0, 1),), 1, fpu="fpv5-d16")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("folder/min.toml", "there is no such file. Did you mean folder/mine.toml?"),
        ("nowhere/mine.toml", "there is no such file."),
        ("stm32f746.toml", "there is no such file. Did you mean stm32f746?"),
        ("folder", "There is no board 'folder'"),
        ("./folder", "this is a folder"),
        ("folder/mine", "There is no board 'folder/mine'|a board is a name or a file that ends in"),
        ("folder/wake.cc", "a board is a name or a file that ends in .toml"),
        ("mine", "There is no board 'mine'; .* Did you mean mine.toml?"),
        ("stm32f764", "Did you mean stm32f746?"),
        ("folder/bytes.toml", "it is no text in UTF-8"),
        ("x" * 5000, "There is no board 'xxx"),
        ("x" * 5000 + ".toml", "it cannot be read|there is no such file"),
        ("a\0.toml", "it must be a path"),
    ],
)
def test_what_is_no_board_is_told_so(file, tmp_path, monkeypatch, given, told):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "bytes.toml").write_bytes(b"name = '\xff'")
    (tmp_path / "folder" / "wake.cc").touch()
    (tmp_path / "folder" / "mine.toml").touch()
    file()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        get_board(given)
    assert re.search(told, str(error.value)), error.value
