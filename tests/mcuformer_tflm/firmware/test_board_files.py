"""Linker script, protection and build of a board follow from its memories."""

import dataclasses
import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcuformer_tflm.data.image_data import quantize_images
from mcuformer_tflm.emulator.arm_boards import ARM_BOARDS, emulated
from mcuformer_tflm.firmware.board_files import board_files, find_start_up
from mcuformer_tflm.firmware.build import build_project
from mcuformer_tflm.firmware.emulation import emulate_firmware
from mcuformer_tflm.firmware.fit import RAM_RESERVE, place_model
from mcuformer_tflm.firmware.project import SUPPORT_FOLDER, export_firmware
from mcuformer_tflm.firmware.protection import cover
from mcuformer_tflm.keras_models.exceptions import (
    BudgetError,
    ConfigError,
    EmulatorError,
    ToolchainError,
)
from mcuformer_tflm.search.board import Board, SramRegion, all_boards, get_board
from mcuformer_tflm.tflite.model_graph import read_graph

KIB = 1024
NAMES = [board.name for board in all_boards()]


def mine(*sram, core="cortex-m4", **fields):
    regions = tuple(SramRegion(f"ram{i}", at, kib * KIB) for i, (at, kib) in enumerate(sram))
    return Board("mine", core, regions, **{"flash": 1024 * KIB, **fields})


def memory_map(script):
    """(origin, bytes) by name, and what each alias stands for."""
    places = {
        name: (int(origin, 16), int(length) * KIB)
        for name, origin, length in re.findall(
            r"(\w+) \(\w+\) : ORIGIN = (\w+), LENGTH = (\d+)K", script
        )
    }
    return places, dict(re.findall(r'REGION_ALIAS\("(\w+)", (\w+)\)', script))


@pytest.mark.parametrize("name", NAMES)
def test_the_linker_script_has_the_boards_memories(name):
    board = get_board(name)
    places, aliases = memory_map(board_files(board, None)["board.ld"])
    assert places.pop("FLASH") == (board.flash_address, board.flash)
    if board.external_flash:
        external = (board.external_flash_address, board.external_flash)
        assert places.pop("EXTERNAL_FLASH") == external
    else:
        assert aliases["EXTERNAL_FLASH"] == "FLASH"
    assert places == {r.name.upper(): (r.address, r.size) for r in board.sram_regions}
    arena, core = (aliases[name].lower() for name in ("ARENA_RAM", "CORE_RAM"))
    assert (arena, core) == (board.sram_regions[0].name, board.sram_regions[-1].name)


@pytest.mark.parametrize("name", NAMES)
def test_the_emulators_script_has_the_same_lengths_where_its_machine_has_memory(name):
    board = get_board(name)
    files = board_files(board, None)
    (real, aliases), (places, same) = map(
        memory_map, (files["board.ld"], files["emulated/board.ld"])
    )
    assert same == aliases
    assert {n: size for n, (_, size) in places.items()} == {n: s for n, (_, s) in real.items()}
    machine = ARM_BOARDS[board.core]
    taken = sorted(places.values())
    assert all(at + size <= other for (at, size), (other, _) in itertools.pairwise(taken))
    for memory, (at, size) in places.items():
        there = {"FLASH": machine.flash, "EXTERNAL_FLASH": machine.external}.get(
            memory, machine.sram
        )
        assert there.address <= at <= at + size <= there.address + there.size


@given(st.integers(0, 1 << 22), st.integers(1, 1 << 16))
def test_regions_of_protection_cover_a_memory_and_nothing_else(start, units):
    start, end = 32 * start, 32 * (start + units)
    open_to = start
    for region in cover(start, end - start):
        size = 1 << region.log2_bytes
        assert size >= 32
        assert region.base % size == 0
        assert region.disabled == 0 or size >= 256, "smaller ones have no eighths"
        eighths = [
            (region.base + i * size // 8, region.base + (i + 1) * size // 8)
            for i in range(8)
            if not region.disabled >> i & 1
        ]
        assert eighths[0][0] == open_to, "where the last one ended"
        assert all(one[1] == other[0] for one, other in itertools.pairwise(eighths))
        open_to = eighths[-1][1]
    assert open_to == end


@pytest.mark.parametrize("core", sorted(ARM_BOARDS))
def test_the_arenas_guards_get_the_regions_that_memories_leave(core):
    files = board_files(mine((0x20000000, 320), core=core), None)
    assert "ARENA_ALIGNMENT = 32;" in files["board.ld"]
    three = [(0x20000000, 256), (0x20040000, 64), (0x10000000, 64)]
    assert "ARENA_ALIGNMENT = 32;" in board_files(mine(*three[:2], core=core), None)["board.ld"]
    full = board_files(mine(*three, core=core), None)["board.ld"]
    assert f"ARENA_ALIGNMENT = {32 if core in ('cortex-m33', 'cortex-m55') else 256};" in full
    assert "SECTIONS { .arena_1 (NOLOAD) : { *(.bss.mcuformer.arena_1) } > RAM1 }" in full
    more = [(0x30000000 + (i << 20), 64) for i in range(3)]
    with pytest.raises(ConfigError, match=r"mine needs (9|11) regions of memory protection"):
        board_files(mine(*three, *more, core=core), None)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"core": "cortex-m85"}, "core is 'cortex-m85'; allowed are 'cortex-m33', 'cortex-m4'"),
        ({"flash_address": 0x08004200}, "flash at 0x08004200; the vectors of 240 interrupts"),
        ({"sram_regions": (SramRegion("odd", 0x20000000, 999),)}, "odd of 999 bytes at 0x20000000"),
        ({"sram_regions": (SramRegion("odd", 0x20000010, 1024),)}, "odd of 1,024 bytes at 0x200"),
    ],
)
def test_a_board_that_no_firmware_can_have_is_refused(change, told, model, tmp_path):
    board = dataclasses.replace(mine((0x20000000, 320)), **change)
    with pytest.raises(ConfigError, match=told):
        export_firmware(model, board, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("core", "fpu", "flags", "caches", "protection"),
    [
        ("cortex-m4", None, "-mcpu=cortex-m4 -mfpu=fpv4-sp-d16", "OFF", "armv7m"),
        ("cortex-m7", None, "-mcpu=cortex-m7 -mfpu=fpv5-sp-d16", "ON", "armv7m"),
        ("cortex-m7", "fpv5-d16", "-mcpu=cortex-m7 -mfpu=fpv5-d16", "ON", "armv7m"),
        ("cortex-m33", None, "-mcpu=cortex-m33 -mfpu=fpv5-sp-d16", "OFF", "armv8m"),
        ("cortex-m55", None, "-mcpu=cortex-m55 -mfpu=auto", "ON", "armv8m"),
    ],
)
def test_the_build_has_the_cores_flags_caches_and_protection(core, fpu, flags, caches, protection):
    told = board_files(mine((0x20000000, 320), core=core, fpu=fpu), None)["board.cmake"]
    assert f"set(MCUFORMER_CPU {flags} -mfloat-abi=hard -mthumb" in told
    # GCC has no macro that tells an M7 (kernels/cortex_m/target.h).
    assert (" -DMCUFORMER_CORTEX_M7)" in told) == (core == "cortex-m7")
    # A compiler that knows no Helium is refused.
    assert (" -DMCUFORMER_HELIUM)" in told) == (core == "cortex-m55")
    assert f"set(MCUFORMER_CACHES {caches})\n" in told
    assert f"set(MCUFORMER_PROTECTION {protection})\n" in told
    assert (SUPPORT_FOLDER / f"board/protection_{protection}.cc").is_file()


def test_vectors_are_as_many_as_the_board_has_interrupts():
    for interrupts, told in ((16, 16), (480, 480), (None, 240)):
        board = mine((0x20000000, 320), interrupts=interrupts, flash_address=0x08004000)
        assert f"kInterrupts = {told};" in board_files(board, None)["board_shape.h"]
    # Its 64 words lie at a multiple of 256 bytes, which would be too few for more.
    board_files(mine((0x20000000, 320), interrupts=48, flash_address=0x08000100, flash=256), None)


def test_a_start_up_is_the_firmwares_by_name_or_a_file_of_the_users(model, tmp_path):
    folder = SUPPORT_FOLDER / "board/start_up"
    board = dataclasses.replace(mine((0x20000000, 320)), start_up="stm32f746_discovry")
    with pytest.raises(ConfigError, match=r"start_up of mine is .*allowed are .*f746_discovery'"):
        find_start_up(board, folder)
    source = tmp_path / "wake.cc"
    source.write_text('extern "C" const char* mcuformer_board_init() { return nullptr; }\n')
    board = dataclasses.replace(board, start_up=str(source))
    export_firmware(model, board, out := tmp_path / "project")
    assert [path.name for path in (out / "board/start_up").glob("*.cc")] == ["wake.cc"]
    assert (
        "set(MCUFORMER_START_UP ${CMAKE_CURRENT_LIST_DIR}/board/start_up/wake.cc)"
        in (out / "board.cmake").read_text()
    )
    source.unlink()
    with pytest.raises(ConfigError, match=r"start_up of mine is .*, which is no file"):
        export_firmware(model, board, out)


@pytest.mark.parametrize(
    ("board", "told"),
    [
        (mine((0x20000000, 512), flash=8 << 20), "mine has 8,388,608 bytes of flash, 4,"),
        (mine((0x20000000, 8192)), "mine has 8,388,608 bytes of SRAM, 4,194,304 more than mps2"),
        (mine((0x20000000, 512), external_flash=32 << 20), "33,554,432 bytes of external flash"),
    ],
)  # fmt: skip
def test_what_exceeds_the_emulators_memory_is_refused_there_and_written_all_the_same(
    board, told, model, tmp_path
):
    with pytest.raises(EmulatorError, match=told):
        emulate_firmware(model, board, None)
    export_firmware(model, board, out := tmp_path / "project")
    assert not (out / "emulated").exists()
    with pytest.raises(ToolchainError) as error:
        build_project(out, tmp_path / "build", MCUFORMER_EMULATED=True)
    assert told in " ".join(str(error.value).split())


def test_sram_is_laid_out_however_many_regions_there_are():
    board = mine(*[(0x24000000 + (i << 20), 600) for i in range(6)], (0x20010000, 64))
    laid = emulated(board).sram_regions
    assert laid[-1] == board.sram_regions[-1], "it is there at the same address"
    assert [region.size for region in laid] == [region.size for region in board.sram_regions]


def test_stack_and_variables_have_their_bytes_in_the_last_region(model):
    graph = read_graph(model)
    small = mine((0x20000000, 64), (0x20040000, 4))
    with pytest.raises(BudgetError, match="lie in the last region, ram1; it has 4,096 bytes"):
        place_model(graph, small)
    whole = place_model(graph, mine((0x20000000, 320))).plan.lower_bound
    kib = -(-whole // KIB) // 2 + 2
    plan = place_model(graph, mine((0x20000000, kib), (0x20040000, kib + 8))).plan
    assert plan.num_regions == 2
    assert plan.region_bytes(1) <= (kib + 8) * KIB - RAM_RESERVE


def test_an_arena_over_three_regions_gives_the_interpreters_bytes(
    model, interpreter, fashion_mnist
):
    whole = place_model(read_graph(model), mine((0x20000000, 320))).plan.lower_bound
    kib = -(-whole // KIB) // 2
    regions = (0x24000000, kib + 1), (0x20040000, kib // 2 + 1), (0x20000000, kib // 2 + 9)
    board = mine(*regions, core="cortex-m33")
    pictures = quantize_images(fashion_mnist.test_images[:2])
    found = emulate_firmware(model, board, pictures)
    np.testing.assert_array_equal(found.run.outputs, interpreter.run(pictures))
    plan = place_model(read_graph(model), board).plan
    assert plan.num_regions == 3
    assert found.image.arena_bytes == sum(plan.region_bytes(region) for region in range(3))
