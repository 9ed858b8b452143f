"""PWR: the regulator's voltage, over-drive, and for the STM32H7 the supply."""

from .chip import Block, Register
from .rcc import MHZ
from .rules import require


class PwrF(Block):
    """PWR of STM32F42x (RM0090 chapter 5) and STM32F74x (RM0385 chapter 4).

    Args:
        chip: The chip.
        manual: Manual and chapter.
        over_drive_section: Where the order of entering over-drive stands.
        highest: Hertz of HCLK at scale 1, 2 and 3, without and with over-drive (RM0090 3.5.1,
            RM0385 3.3.2).
        has_cwuf: Whether bit 2 of PWR_CR clears the wake-up flag, or is reserved.
    """

    name = "PWR"
    base = 0x40007000
    clock = ("APB1ENR", 28)

    def __init__(self, chip, manual, over_drive_section, highest, *, has_cwuf):
        self.manual, self.over_drive_section, self._highest = manual, over_drive_section, highest
        cwuf = {"CWUF": (2, 1)} if has_cwuf else {}
        super().__init__(chip, {
            0x00: ("CR", Register(
                0xC000, LPDS=(0, 1), PDDS=(1, 1), **cwuf, CSBF=(3, 1), PVDE=(4, 1), PLS=(5, 3),
                DBP=(8, 1), FPDS=(9, 1), LPUDS=(10, 1), MRUDS=(11, 1), ADCDC1=(13, 1), VOS=(14, 2),
                ODEN=(16, 1), ODSWEN=(17, 1), UDEN=(18, 2))),
            0x04: ("CSR", Register(
                read_only=("WUF", "SBF", "PVDO", "BRR", "VOSRDY", "ODRDY", "ODSWRDY", "UDRDY"),
                WUF=(0, 1), SBF=(1, 1), PVDO=(2, 1), BRR=(3, 1), EWUP=(8, 1), BRE=(9, 1),
                VOSRDY=(14, 1), ODRDY=(16, 1), ODSWRDY=(17, 1), UDRDY=(18, 2))),
        })  # fmt: skip

    def is_switching(self):
        return self["CR"]["ODSWEN"] != self["CSR"]["ODSWRDY"]

    def require_not_switching(self, what):
        require(not self.is_switching(), f"{what} follow once the regulator has switched",
                self.over_drive_section)  # fmt: skip

    def highest_hclk(self):
        # The scale that is programmed holds while the PLL is on, scale 3 while it is off.
        on = self.chip.rcc["CR"]["PLLON"] == 1
        scale = {3: 1, 2: 2, 1: 3, 0: 3}[self["CR"]["VOS"]] if on else 3
        over_drive = self["CSR"]["ODSWRDY"] == 1 and self["CR"]["ODSWEN"] == 1
        return self._highest[scale][over_drive]

    def written(self, name, before):
        if name != "CR":
            return
        control, status, section = self["CR"], self["CSR"], self.over_drive_section
        rcc = self.chip.rcc
        for other in ("LPDS", "PDDS", "DBP", "FPDS", "LPUDS", "MRUDS", "ADCDC1", "UDEN"):
            require(control[other] == 0, f"{other} is for low power, not for start-up", self.manual)
        if self.changed(name, before, "VOS"):
            require(rcc["CR"]["PLLON"] == 0, "VOS is changed while the PLL is off", section)
        if self.changed(name, before, "ODEN", "ODSWEN"):
            require(not rcc.runs_from_pll(), "over-drive is entered from HSI or HSE", section)
        if self.changed(name, before, "ODEN"):
            status["ODRDY"] = 0
            if control["ODEN"]:
                require(rcc["CR"]["PLLON"] == 1, "the PLL is on before over-drive", section)
                self.chip.later("ODRDY", "PWR_CSR", lambda: status.__setitem__("ODRDY", 1))
        if self.changed(name, before, "ODSWEN"):
            require(status["ODRDY"] == 1, "ODRDY before ODSWEN", section)
            require(rcc.enabled_clocks() == [("APB1ENR", 1 << 28)],
                    "no clock of a device is on while the regulator switches", section)  # fmt: skip
            self.chip.later("ODSWRDY", "PWR_CSR", lambda: status.__setitem__("ODSWRDY", 1))


class PwrH7(Block):
    """PWR of the STM32H743 (RM0433 chapter 6), supplied by its LDO."""

    name = "PWR"
    base = 0x58024800
    manual = "RM0433 6"
    over_drive_section = "RM0433 6.6.2, VOS0 activation"
    # Data sheet DS12110, general operating conditions; the LDO gives VOS0 since revision V.
    _LIMITS = ((480, 240, 120), (400, 200, 100), (300, 150, 75), (200, 100, 50))

    def __init__(self, chip):
        self.supply_is_set = self._is_supplied = False
        # What the regulator gives: it starts with VOS3.
        self.scale = 3
        super().__init__(chip, {
            0x04: ("CSR1", Register(0x4000, read_only=("PVDO", "ACTVOSRDY", "ACTVOS", "AVDO"),
                                    PVDO=(4, 1), ACTVOSRDY=(13, 1), ACTVOS=(14, 2), AVDO=(16, 1))),
            0x0C: ("CR3", Register(
                0x6, read_only=("USB33RDY",), BYPASS=(0, 1), LDOEN=(1, 1), SCUEN=(2, 1), VBE=(8, 1),
                VBRS=(9, 1), USB33DEN=(24, 1), USBREGEN=(25, 1), USB33RDY=(26, 1))),
            0x18: ("D3CR", Register(0x4000, read_only=("VOSRDY",), VOSRDY=(13, 1), VOS=(14, 2))),
        })  # fmt: skip

    def require_valid(self, what):
        # A supply that never is valid can be told of by means of RAM alone.
        if "ACTVOSRDY" in self.chip.never:
            return
        require(self._is_supplied, f"{what} before the supply is valid", "RM0433 6.4.1")

    def is_switching(self):
        return self["D3CR"]["VOSRDY"] == 0

    def limits(self):
        core, hclk, pclk = (mhz * MHZ for mhz in self._LIMITS[self.scale])
        return {"SYSCLK": core, "CORE": core, "HCLK": hclk, "PCLK": pclk}

    def written(self, name, before):
        if name == "CR3":
            self._supply()
        elif name == "D3CR":
            self.require_valid("VOS is not changed")
            vos = self["D3CR"]["VOS"]
            require(vos != 0, "VOS = 0 is reserved", "RM0433 6.8.6")
            if self.changed(name, before, "VOS"):
                require(not self.chip.rcc.runs_from_pll(), "the voltage follows before a faster "
                        "clock", "RM0433 6.6.2")  # fmt: skip
                self._settle(4 - vos)

    def _supply(self):
        # SCUEN says that one write is left.
        control, section = self["CR3"], "RM0433 6.8.4"
        require(not self.supply_is_set, "the lower byte is written once", section)
        require(control["LDOEN"] == 1 and control["BYPASS"] == 0, "the LDO supplies", section)
        for other in ("VBE", "VBRS", "USB33DEN", "USBREGEN"):
            require(control[other] == 0, f"{other} is not needed", "-")
        self.supply_is_set = True
        control["SCUEN"] = 0

        def arrive():
            self._is_supplied = True
            self["CSR1"]["ACTVOSRDY"] = self["D3CR"]["VOSRDY"] = 1

        self.chip.later("ACTVOSRDY", "PWR_CSR1", arrive)

    def _settle(self, scale):
        """The regulator goes to a scale; its flags say when it is there, by two registers."""
        status, control = self["CSR1"], self["D3CR"]
        status["ACTVOSRDY"] = control["VOSRDY"] = 0

        def arrive():
            self.scale = scale
            status["ACTVOS"] = 4 - max(scale, 1)
            status["ACTVOSRDY"] = control["VOSRDY"] = 1
            self.chip.forget(f"VOS{scale}")
            self.chip.forget(f"VOS{scale} by D3CR")

        self.chip.later(f"VOS{scale}", "PWR_CSR1", arrive)
        if f"VOS{scale}" not in self.chip.never:
            self.chip.later(f"VOS{scale} by D3CR", "PWR_D3CR", arrive)

    def boost(self):
        """ODEN was set."""
        section = self.over_drive_section
        require(
            self["D3CR"]["VOS"] == 3 and self.scale == 1, "VOS1 is reached before VOS0", section
        )
        require(not self.chip.rcc.runs_from_pll(), "VOS0 comes before a faster clock", section)
        self._settle(0)


class Syscfg(Block):
    """SYSCFG of the STM32H743: ODEN of SYSCFG_PWRCR, which revision V added."""

    name = "SYSCFG"
    base = 0x58000400
    manual = "RM0433 12"
    clock = ("APB4ENR", 1)

    def __init__(self, chip, *, has_vos0):
        self.has_vos0 = has_vos0
        super().__init__(chip, {0x2C: ("PWRCR", Register(ODEN=(0, 1)))})

    def written(self, name, before):
        require(self.has_vos0, "VOS0 is for revision V", "data sheet DS12110")
        if self.changed(name, before, "ODEN"):
            require(self[name]["ODEN"] == 1, "ODEN stays set", PwrH7.over_drive_section)
            self.chip.pwr.boost()


class Dbgmcu(Block):
    """DBGMCU_IDCODE of the STM32H743 (RM0433 60): the revision is its upper half."""

    name = "DBGMCU"
    base = 0x5C001000
    manual = "RM0433 60"

    def __init__(self, chip, revision):
        super().__init__(chip, {0: ("IDCODE", Register(revision << 16 | 0x450))})

    def written(self, name, before):
        require(False, "DBGMCU_IDCODE is read only", self.manual)


class AxiInterconnect(Block):
    """AXI_TARG7_FN_MOD of the STM32H743 (RM0433 2.2): one read from AXI SRAM at a time, or more."""

    name = "AXI"
    base = 0x51000000
    manual = "RM0433 2.2"

    def __init__(self, chip):
        super().__init__(chip, {0x8108: ("TARG7_FN_MOD", Register(READ=(0, 1), WRITE=(1, 1)))})
