"""Start-up, as compiled for each board, on a model of its registers (helpers/stm32_registers)."""

import re
from pathlib import Path

import pytest
from stm32_registers import boards, mutants, simulation
from stm32_registers.n25q128a import N25q128a
from stm32_registers.rules import BrokenRuleError

from mcuformer_tflm.firmware.project import SUPPORT_FOLDER
from mcuformer_tflm.search.board import all_boards, get_board

START_UP = SUPPORT_FOLDER / "board" / "start_up"
DOCUMENT = Path(__file__).parents[3] / "docs" / "firmware.md"
ACCELERATORS = {
    "stm32f427": ("PRFTEN", "ICEN", "DCEN"),
    "stm32f746": ("PRFTEN", "ARTEN"),
    "stm32f746-discovery": ("PRFTEN", "ARTEN"),
    "stm32h743": (),
}
# Data sheets and reference manuals: megahertz of the core, the AHB and each APB; wait states.
CLOCKS = {
    "stm32f427": (180, 180, [45, 90], 5),
    "stm32f746": (216, 216, [54, 108], 7),
    "stm32f746-discovery": (216, 216, [54, 108], 7),
    "stm32h743": (480, 240, [120] * 4, 4),
}
# Flags that hardware might never raise, and what is told of them.
WAITS = {
    "stm32f427": {
        "ODRDY": "over-drive is not ready",
        "ODSWRDY": "the regulator does not switch to over-drive",
        "LATENCY": "flash does not take its wait states",
        "PLLRDY": "the PLL does not lock",
        "SWS": "the PLL does not become the system clock",
    },
    "stm32f746-discovery": {
        "HSERDY": "HSE, the crystal, is not ready",
        "TCF": "QUADSPI does not complete a command",
        "BUSY": "QUADSPI does not complete a command",
    },
    "stm32h743": {
        "ACTVOSRDY": "the supply by the LDO is not valid",
        "VOS1": "the regulator does not reach VOS1",
        "VOS0": "the regulator does not reach VOS0",
        "LATENCY": "flash does not take its wait states",
        "PLL1RDY": "the PLL does not lock",
        "SWS": "the PLL does not become the system clock",
    },
}
# Changes that break no rule and change nothing that start-up is for, and why that is so.
HARMLESS = {
    r"without \S+ reads of QUADSPI_SR|QUADSPI_(CCR|DLR) = \S+ before 1 reads of QUADSPI_SR":
        "there QUADSPI is idle already: the last command was seen complete, its answer taken",
    r"\d reads of QUADSPI_(SR|DR) before (QUADSPI_FCR|QUADSPI_CR|\d reads of QUADSPI_DR).*":
        "a status that is read earlier, or a flag cleared later, but before the next command",
    r"without QUADSPI_DLR = \S+|QUADSPI_CCR = \S+ before QUADSPI_DLR = 0x0":
        "the length was the same before; a command with data starts with its data",
    r"without QUADSPI_FCR = 0x2|QUADSPI_FCR with CTCF = 0.*|QUADSPI_FCR = 0x2 before 3 reads .*":
        "the last command's flag: nobody looks at it again",
    r"QUADSPI_CR = \S+ before QUADSPI_DCR = \S+": "both precede the first command",
    r"\S+ = \S+ before GPIO\S+ = \S+": "pins carry nothing before QUADSPI is on",
    r"QUADSPI_DCR with CSHT = [67], not 5": "the flash may be left alone for longer",
    r"RCC_PLLCFGR with PLLQ = .*|RCC_PLL1DIVR with DIVQ1 = .*":
        "within the limit, and nothing of start-up takes that clock",
    r"RCC_PLLCFGR = \S+ before 3 reads of RCC_CR": "the PLL may be set while the crystal starts",
    r"RCC_PLLCFGR = \S+ before RCC_PLLCKSELR = \S+|RCC_PLL1DIVR = \S+ before RCC_PLLCFGR = \S+":
        "the PLL's registers only precede its start",
    r"RCC_APB1ENR = 0x10000000 before RCC_CR = 0x1000000|RCC_APB4ENR = 0x2 before 3 reads .*":
        "a clock of PWR or SYSCFG only precedes the access to it",
    r"RCC_PLLCKSELR = \S+ before 3 reads of PWR_\S+": "the PLL may be set while the voltage rises",
    r"RCC_C?\S*CFGR = \S+ before 3 reads of FLASH_ACR|3 reads of RCC_CR before RCC_\S*CFGR = .*":
        "prescalers only precede the switch to the PLL",
    r"RCC_D[23]CFGR = \S+ before RCC_D[12]CFGR = \S+": "and have no order among themselves",
    r"FLASH_ACR = \S+ before RCC_CR = 0x1000000": "wait states only precede the switch to the PLL",
    r"without 1 reads of DBGMCU_IDCODE|.*reads of DBGMCU_IDCODE.*|.* before 1 reads of DBGMCU.*":
        "what follows from the revision was recorded",
    r"AXI_TARG7_FN_MOD .*|.* before AXI_TARG7_FN_MOD .*|without AXI_TARG7_FN_MOD .*":
        "against an erratum of revision Y, which the model does not have",
    r"PWR_CR3 with SCUEN = 1, not 0": "it says that a write is left, and is the hardware's",
}  # fmt: skip


def module_of(board):
    return board.replace("-", "_")


def chip_of(board, **options):
    return getattr(boards, module_of(board))(**options)


@pytest.fixture(scope="module", name="build")
def _build(tmp_path_factory):
    built = {}

    def build_once(board, *sources):
        if (board, sources) not in built:
            folder, core = tmp_path_factory.mktemp(board), get_board(board).core
            built[board, sources] = simulation.build(folder, core, *sources)
        return built[board, sources]

    return build_once


@pytest.fixture(scope="module", name="image")
def _image(build):
    return lambda board: build(board, START_UP / f"{module_of(board)}.cc")


def test_every_board_with_a_clock_has_a_start_up_that_is_tried_here():
    assert {board.name: board.start_up for board in all_boards() if board.name in CLOCKS} == {
        board: module_of(board) for board in CLOCKS
    }


@pytest.mark.parametrize("board", CLOCKS)
def test_start_up_sets_the_boards_megahertz_and_breaks_no_rule(image, board):
    chip = chip_of(board)
    run = simulation.Run(image(board), chip)
    found = boards.outcome(chip)
    core, ahb, apbs, wait_states = CLOCKS[board]
    assert run.fault is None
    assert core == get_board(board).megahertz
    assert found.clocks.get("CORE", found.clocks["SYSCLK"]) == core * 1e6
    assert found.clocks["HCLK"] == ahb * 1e6
    assert [hertz for name, hertz in found.clocks.items() if name[0] == "P"] == [
        mhz * 1e6 for mhz in apbs
    ]
    assert (found.wait_states, found.accelerators) == (wait_states, ACCELERATORS[board])


@pytest.mark.parametrize("board", CLOCKS)
def test_start_up_has_no_variables_and_memory_holds_what_it_should_after_it(image, board):
    run = simulation.Run(image(board), chip_of(board))
    assert run.stack_only
    assert (run.word("initialised"), run.word("zero")) == (42, 0)


def test_external_flash_is_read_as_fast_as_the_board_file_says(image):
    chip = chip_of("stm32f746-discovery")
    simulation.Run(image("stm32f746-discovery"), chip)
    hertz, lines, dummy, _ = boards.outcome(chip).quadspi
    assert (hertz, lines, dummy) == (108e6, 4, 10)
    assert get_board("stm32f746-discovery").external_bytes_per_second == hertz * lines / 8


@pytest.mark.parametrize(
    ("revision", "megahertz", "one_read"),
    [(0x1003, 400, 1), (0x2001, 400, 0), (0x2003, 480, 0)],
    ids=["Y", "X", "V"],
)
def test_h743_runs_as_fast_as_its_revision_allows(image, revision, megahertz, one_read):
    chip = chip_of("stm32h743", revision=revision)
    assert simulation.Run(image("stm32h743"), chip).fault is None
    clocks = boards.outcome(chip).clocks
    assert (clocks["CORE"], clocks["HCLK"]) == (megahertz * 1e6, megahertz * 5e5)
    assert chip.axi["TARG7_FN_MOD"].value == one_read, "the erratum of revision Y"


@pytest.mark.parametrize(
    ("board", "flag"), [(board, flag) for board, flags in WAITS.items() for flag in flags]
)
def test_a_flag_that_never_comes_is_told_as_a_fault_at_a_clock_that_is_safe(image, board, flag):
    chip = chip_of(board, never={flag})
    run = simulation.Run(image(board), chip)
    assert run.fault == f"start-up: {WAITS[board][flag]}"
    # SW was written: the hardware switches if the PLL ever gets there.
    assert chip.rcc.runs_from_pll() == (flag in ("SWS", "TCF", "BUSY"))


class _Other(N25q128a):
    ID = bytes.fromhex("ef4018") + bytes(17)


class _Forgetful(N25q128a):
    def command(self, frame, data, length):
        answer = super().command(frame, data, length)
        self.volatile_configuration = self._DEFAULT
        return answer


@pytest.mark.parametrize(
    ("flash", "told"),
    [(_Other, "does not answer as an N25Q128A"), (_Forgetful, "does not take its dummy cycles")],
)
def test_a_flash_that_is_not_the_boards_is_told_as_a_fault(image, flash, told):
    chip = chip_of("stm32f746-discovery", flash=flash(boards.stored))
    run = simulation.Run(image("stm32f746-discovery"), chip)
    assert run.fault == f"start-up: the QSPI flash {told}"


def test_a_programs_own_board_init_takes_the_place_of_start_up(build, tmp_path):
    own = tmp_path / "own.cc"
    own.write_text(
        '#include "board/board.h"\n'
        'extern "C" const char* mcuformer_board_init() { return "my crystal"; }\n'
    )
    chip = chip_of("stm32f427")
    run = simulation.Run(build("stm32f427", START_UP / "stm32f427.cc", own), chip)
    assert (run.fault, chip.log) == ("my crystal", [])


def test_a_board_without_start_up_reaches_main_at_its_reset_clock(build):
    chip = chip_of("stm32f427")
    run = simulation.Run(build("stm32f427"), chip)
    assert (run.fault, chip.log) == (None, [])


@pytest.fixture(scope="module", name="verdicts")
def _verdicts(image):
    """By board and revision: what becomes of each changed sequence."""
    found = {}
    for board in CLOCKS:
        for revision in ("V", "Y") if board == "stm32h743" else ("",):
            options = {"revision": {"V": 0x2003, "Y": 0x1003}[revision]} if revision else {}
            chip = chip_of(board, **options)
            simulation.Run(image(board), chip)
            unchanged = boards.outcome(chip)
            run = mutants.steps(chip.log)
            assert mutants.verdict(run, chip_of(board, **options), boards.outcome) == unchanged
            of_board = found[f"{board} {revision}".strip()] = {}
            for change, steps in mutants.mutants(run, chip):
                verdict = mutants.verdict(steps, chip_of(board, **options), boards.outcome)
                if isinstance(verdict, BrokenRuleError):
                    of_board[change] = str(verdict)
                else:
                    of_board[change] = "other" if verdict != unchanged else "harmless"
    return found


def test_a_changed_sequence_breaks_a_rule_or_shows_but_for_those_that_are_known(verdicts):
    harmless = {
        what
        for of_board in verdicts.values()
        for (what, _), verdict in of_board.items()
        if verdict == "harmless"
    }
    known = {
        what: [reason for pattern, reason in HARMLESS.items() if re.fullmatch(pattern, what)]
        for what in harmless
    }
    assert not [what for what, reasons in known.items() if not reasons]
    used = {reason for reasons in known.values() for reason in reasons}
    assert used == set(HARMLESS.values())


def test_no_write_and_no_wait_of_a_clock_can_be_left_out(verdicts):
    """Of QUADSPI's and GPIO's steps some can, see HARMLESS."""
    for of_board in verdicts.values():
        left = [
            what
            for (what, _), verdict in of_board.items()
            if what.startswith("without") and verdict == "harmless"
        ]
        assert all(re.search("QUADSPI_|DBGMCU|AXI_", what) for what in left)


def test_the_document_tells_how_many_changes_were_refused(verdicts):
    text = DOCUMENT.read_text()
    for board, of_board in verdicts.items():
        told = list(of_board.values())
        harmless, other = told.count("harmless"), told.count("other")
        row = f"| {len(told)} | {len(told) - harmless - other} | {other} | {harmless} |"
        assert re.search(rf"\| `{board.split()[0]}`[^\n]*{re.escape(row)}", text), (board, row)
