"""RCC: oscillators, the PLL, the system clock and the buses' clocks."""

from .chip import Block, Register
from .rules import require

MHZ = 1_000_000


def _bus_divider(bits):
    return 1 if bits < 4 else 2 << (bits - 4)


def _core_divider(bits):
    return 1 if bits < 8 else (2, 4, 8, 16, 64, 128, 256, 512)[bits - 8]


class Rcc(Block):
    """What both families have: clocks of devices, and a switch of the system clock."""

    name = "RCC"

    def __init__(self, chip, registers):
        super().__init__(chip, registers)
        self._seen = {}
        # Whether software saw that the clock is what it asked for.
        self.confirmed = True

    def has_clock(self, register, bit):
        seen = self._seen.get(register, self[register].reset) & self[register].value
        return seen >> bit & 1 == 1

    def was_read(self, name):
        if name.endswith("ENR"):
            self._seen[name] = self[name].value
        if name == "CFGR" and self["CFGR"]["SWS"] == self["CFGR"]["SW"]:
            self.confirmed = True

    def enabled_clocks(self):
        """(register, bits) of clocks that software has switched on."""
        return [
            (name, register.value & ~register.reset)
            for name, register in self.registers.items()
            if name.endswith("ENR") and register.value != register.reset
        ]

    def _switch(self, section):
        self.confirmed = False
        require(
            self.chip.flash.read_back,
            "FLASH_ACR was read back before a faster clock",
            self.chip.flash.wait_state_section,
        )
        target = self["CFGR"]["SW"]

        def arrive():
            self["CFGR"]["SWS"] = target

        self.chip.later("SWS", "RCC_CFGR", arrive)
        require(self._is_ready(target), "a clock is ready before it is selected", section)


class RccF(Rcc):
    """RCC of STM32F42x (RM0090 chapter 6) and STM32F74x (RM0385 chapter 5).

    Args:
        chip: The chip.
        manual: Manual and chapter.
        hse: Hertz of the crystal or clock at OSC_IN, or None.
        sysclk: The chip's highest system clock; it bounds HCLK, ``apb1`` and ``apb2`` the buses.
    """

    base = 0x40023800
    HSI = 16 * MHZ
    _SOURCES = ("HSI", "HSE", "PLL")

    def __init__(self, chip, manual, *, hse, sysclk, apb1, apb2, has_quadspi):
        self.manual = manual
        self.hse, self.highest, self.apb1, self.apb2 = hse, sysclk, apb1, apb2
        quadspi = {"QSPIEN": (1, 1)} if has_quadspi else {}
        super().__init__(chip, {
            0x00: ("CR", Register(
                0x83, read_only=("HSIRDY", "HSICAL", "HSERDY", "PLLRDY", "PLLI2SRDY", "PLLSAIRDY"),
                HSION=(0, 1), HSIRDY=(1, 1), HSITRIM=(3, 5), HSICAL=(8, 8), HSEON=(16, 1),
                HSERDY=(17, 1), HSEBYP=(18, 1), CSSON=(19, 1), PLLON=(24, 1), PLLRDY=(25, 1),
                PLLI2SON=(26, 1), PLLI2SRDY=(27, 1), PLLSAION=(28, 1), PLLSAIRDY=(29, 1))),
            0x04: ("PLLCFGR", Register(
                0x24003010, PLLM=(0, 6), PLLN=(6, 9), PLLP=(16, 2), PLLSRC=(22, 1), PLLQ=(24, 4))),
            0x08: ("CFGR", Register(
                read_only=("SWS",), SW=(0, 2), SWS=(2, 2), HPRE=(4, 4), PPRE1=(10, 3),
                PPRE2=(13, 3), RTCPRE=(16, 5), MCO1=(21, 2), I2SSRC=(23, 1), MCO1PRE=(24, 3),
                MCO2PRE=(27, 3), MCO2=(30, 2))),
            0x30: ("AHB1ENR", Register(
                0x00100000, GPIOEN=(0, 11), CRCEN=(12, 1), BKPSRAMEN=(18, 1), RAMEN=(20, 1),
                DMAEN=(21, 3), ETHEN=(25, 4), OTGEN=(29, 2))),
            0x38: ("AHB3ENR", Register(FMCEN=(0, 1), **quadspi)),
            0x40: ("APB1ENR", Register(
                TIMEN=(0, 9), WWDGEN=(11, 1), SPIEN=(14, 2), UARTEN=(17, 7), CANEN=(25, 2),
                PWREN=(28, 1), DACEN=(29, 1), UART78EN=(30, 2))),
        })  # fmt: skip

    def frequencies(self):
        """Hertz of SYSCLK, HCLK, PCLK1 and PCLK2."""
        config = self["CFGR"]
        sysclk = {"HSI": self.HSI, "HSE": self.hse, "PLL": self._pll()}[self._SOURCES[config["SW"]]]
        hclk = sysclk / _core_divider(config["HPRE"])
        return {
            "SYSCLK": sysclk,
            "HCLK": hclk,
            "PCLK1": hclk / _bus_divider(config["PPRE1"]),
            "PCLK2": hclk / _bus_divider(config["PPRE2"]),
        }

    def runs_from_pll(self):
        return self._SOURCES[self["CFGR"]["SW"]] == "PLL"

    def written(self, name, before):
        if name.endswith("ENR"):
            require(self.confirmed, "the system clock is confirmed by SWS before what needs it",
                    self.chip.flash.wait_state_section)  # fmt: skip
            self.chip.pwr.require_not_switching("clocks of devices")
        elif name == "CR":
            self._control(before)
        elif name == "PLLCFGR":
            # That it is off also means that it has stopped.
            require(
                self["CR"]["PLLON"] == 0 and self["CR"]["PLLRDY"] == 0,
                "the PLL is configured while it is off",
                f"{self.manual}, RCC_PLLCFGR",
            )
        elif name == "CFGR":
            self.chip.pwr.require_not_switching("the prescalers and the system clock")
            if self.changed(name, before, "SW"):
                require(self[name]["SW"] < 3, "SW = 3 is not allowed", f"{self.manual}, RCC_CFGR")
                self._switch(self.chip.pwr.over_drive_section)
            self.check()

    def _control(self, before):
        control, section = self["CR"], f"{self.manual}, RCC_CR"
        pll_source = "HSE" if self["PLLCFGR"]["PLLSRC"] else "HSI"
        used = {self._SOURCES[self["CFGR"]["SW"]]}
        if control["PLLON"] or "PLL" in used:
            used |= {pll_source}
        for clock in used:
            require(control[f"{clock}ON"] == 1, "a clock in use is not switched off", section)
        require(not (self.changed("CR", before, "HSEBYP") and control["HSEON"]),
                "HSEBYP is written while HSE is off", section)  # fmt: skip
        if self.changed("CR", before, "HSEON"):
            control["HSERDY"] = 0
            self.chip.forget("HSERDY")
            # Without a crystal, or with one that is bypassed, none is ever ready.
            if control["HSEON"] and self.hse and not control["HSEBYP"]:
                self.chip.later("HSERDY", "RCC_CR", lambda: control.__setitem__("HSERDY", 1))
        if self.changed("CR", before, "PLLON"):
            control["PLLRDY"] = 0
            self.chip.forget("PLLRDY")
            if control["PLLON"]:
                require(control[f"{pll_source}RDY"] == 1, "the PLL's source is ready before the "
                        "PLL is switched on", f"{self.manual}, PLL")  # fmt: skip
                self._check_pll()
                self.chip.later("PLLRDY", "RCC_CR", lambda: control.__setitem__("PLLRDY", 1))
        for other in ("PLLI2SON", "PLLSAION", "CSSON"):
            require(control[other] == 0, f"{other} is not needed", "-")

    def _pll_input(self):
        config = self["PLLCFGR"]
        source = self.hse if config["PLLSRC"] else self.HSI
        return (source or 0) / max(config["PLLM"], 1)

    def _pll(self):
        config = self["PLLCFGR"]
        return self._pll_input() * config["PLLN"] / (2 * (config["PLLP"] + 1))

    def _check_pll(self):
        config, section = self["PLLCFGR"], f"{self.manual}, RCC_PLLCFGR"
        require(config["PLLM"] >= 2, "2 <= PLLM <= 63", section)
        require(50 <= config["PLLN"] <= 432, "50 <= PLLN <= 432", section)
        require(config["PLLQ"] >= 2, "2 <= PLLQ <= 15", section)
        require(MHZ <= self._pll_input() <= 2 * MHZ, "the VCO's input is 1 to 2 MHz", section)
        vco = self._pll_input() * config["PLLN"]
        require(100 * MHZ <= vco <= 432 * MHZ, "the VCO's output is 100 to 432 MHz", section)
        require(vco / config["PLLQ"] <= 48 * MHZ, "USB, SDIO and RNG get 48 MHz or less", section)
        require(self._pll() <= self.highest, "the PLL gives no more than SYSCLK's highest", section)

    def check(self):
        """Holds every clock against what voltage, wait states and buses allow now."""
        clocks = self.frequencies()
        limit = self.chip.pwr.highest_hclk()
        require(clocks["HCLK"] <= limit, f"HCLK <= {limit / MHZ:.0f} MHz at this voltage",
                self.chip.flash.wait_state_section)  # fmt: skip
        section = f"{self.manual}, RCC_CFGR"
        require(clocks["PCLK1"] <= self.apb1, "PCLK1 is within its limit", section)
        require(clocks["PCLK2"] <= self.apb2, "PCLK2 is within its limit", section)
        self.chip.flash.check(clocks["HCLK"])

    def _is_ready(self, source):
        return self["CR"][f"{self._SOURCES[source]}RDY"] == 1


class RccH7(Rcc):
    """RCC of the STM32H743 (RM0433 chapter 8).

    Args:
        chip: The chip.
        highest_vco: Hertz; 960 MHz since revision V, 836 MHz before.
    """

    base = 0x58024400
    manual = "RM0433 8"
    HSI = 64 * MHZ

    def __init__(self, chip, *, highest_vco):
        self.highest_vco = highest_vco
        super().__init__(chip, {
            0x00: ("CR", Register(
                0xC025, read_only=("HSIRDY", "HSIDIVF", "CSIRDY", "HSI48RDY", "DCKRDY", "HSERDY",
                                   "PLL1RDY", "PLL2RDY", "PLL3RDY"),
                HSION=(0, 1), HSIKERON=(1, 1), HSIRDY=(2, 1), HSIDIV=(3, 2), HSIDIVF=(5, 1),
                CSION=(7, 1), CSIRDY=(8, 1), CSIKERON=(9, 1), HSI48ON=(12, 1), HSI48RDY=(13, 1),
                DCKRDY=(14, 2), HSEON=(16, 1), HSERDY=(17, 1), HSEBYP=(18, 1), HSECSSON=(19, 1),
                PLL1ON=(24, 1), PLL1RDY=(25, 1), PLL2ON=(26, 1), PLL2RDY=(27, 1), PLL3ON=(28, 1),
                PLL3RDY=(29, 1))),
            0x10: ("CFGR", Register(
                read_only=("SWS",), SW=(0, 3), SWS=(3, 3), STOPWUCK=(6, 1), STOPKERWUCK=(7, 1),
                RTCPRE=(8, 6), HRTIMSEL=(14, 1), TIMPRE=(15, 1), MCO1PRE=(18, 4), MCO1=(22, 3),
                MCO2PRE=(25, 4), MCO2=(29, 3))),
            0x18: ("D1CFGR", Register(HPRE=(0, 4), D1PPRE=(4, 3), D1CPRE=(8, 4))),
            0x1C: ("D2CFGR", Register(D2PPRE1=(4, 3), D2PPRE2=(8, 3))),
            0x20: ("D3CFGR", Register(D3PPRE=(4, 3))),
            0x28: ("PLLCKSELR", Register(
                0x02020200, PLLSRC=(0, 2), DIVM1=(4, 6), DIVM2=(12, 6), DIVM3=(20, 6))),
            0x2C: ("PLLCFGR", Register(
                0x01FF0000, PLL1FRACEN=(0, 1), PLL1VCOSEL=(1, 1), PLL1RGE=(2, 2), PLL2=(4, 4),
                PLL3=(8, 4), DIVP1EN=(16, 1), DIVQ1EN=(17, 1), DIVR1EN=(18, 1), DIV23EN=(19, 6))),
            0x30: ("PLL1DIVR", Register(
                0x01010280, DIVN1=(0, 9), DIVP1=(9, 7), DIVQ1=(16, 7), DIVR1=(24, 7))),
            0xF4: ("APB4ENR", Register(
                0x00010000, SYSCFGEN=(1, 1), LPUART1EN=(3, 1), SPI6EN=(5, 1), I2C4EN=(7, 1),
                LPTIMEN=(9, 4), COMP12EN=(14, 1), VREFEN=(15, 1), RTCAPBEN=(16, 1),
                SAI4EN=(21, 1))),
        })  # fmt: skip

    def frequencies(self):
        """Hertz of SYSCLK, the core, HCLK (which is the AXI bus's, too) and PCLK1 to PCLK4."""
        d1 = self["D1CFGR"]
        sysclk = self._pll() if self.runs_from_pll() else self.HSI
        core = sysclk / _core_divider(d1["D1CPRE"])
        hclk = core / _core_divider(d1["HPRE"])
        dividers = {
            "PCLK1": self["D2CFGR"]["D2PPRE1"],
            "PCLK2": self["D2CFGR"]["D2PPRE2"],
            "PCLK3": d1["D1PPRE"],
            "PCLK4": self["D3CFGR"]["D3PPRE"],
        }
        buses = {name: hclk / _bus_divider(bits) for name, bits in dividers.items()}
        return {"SYSCLK": sysclk, "CORE": core, "HCLK": hclk, **buses}

    def runs_from_pll(self):
        return self["CFGR"]["SW"] == 3

    def written(self, name, before):
        section = f"{self.manual}, RCC_{name}"
        if name in ("CR", "CFGR", "D1CFGR", "PLLCKSELR"):
            require(self.chip.pwr.supply_is_set, "the supply is set before the clock is touched",
                    "RM0433 6.8.4")  # fmt: skip
        if name == "CR":
            self._control(before)
        elif name in ("PLLCKSELR", "PLLCFGR", "PLL1DIVR"):
            require(self["CR"]["PLL1ON"] == 0 and self["CR"]["PLL1RDY"] == 0,
                    "the PLL is configured while it is off", section)  # fmt: skip
        elif name == "CFGR":
            if self.changed(name, before, "SW"):
                require(self[name]["SW"] < 4, "SW is 0 to 3", section)
                self._switch("RM0433 8.5.5")
            self.check()
        elif name in ("D1CFGR", "D2CFGR", "D3CFGR"):
            self.check()

    def _control(self, before):
        control, section = self["CR"], f"{self.manual}, RCC_CR"
        require(control["HSION"] == 1, "a clock in use is not switched off", section)
        require(not self.changed("CR", before, "HSIDIV"), "HSIDIV is not changed while HSI is the "
                "PLL's or the system's clock", section)  # fmt: skip
        for other in ("HSEON", "HSEBYP", "HSECSSON", "CSION", "HSI48ON", "PLL2ON", "PLL3ON"):
            require(control[other] == 0, f"{other} is not needed", "-")
        if self.changed("CR", before, "PLL1ON"):
            control["PLL1RDY"] = 0
            self.chip.forget("PLL1RDY")
            require(control["PLL1ON"] == 1 or not self.runs_from_pll(),
                    "a clock in use is not switched off", section)  # fmt: skip
            if control["PLL1ON"]:
                self._check_pll()
                self.chip.later("PLL1RDY", "RCC_CR", lambda: control.__setitem__("PLL1RDY", 1))

    def _pll_input(self):
        return self.HSI / max(self["PLLCKSELR"]["DIVM1"], 1)

    def _vco(self):
        return self._pll_input() * (self["PLL1DIVR"]["DIVN1"] + 1)

    def _pll(self):
        return self._vco() / (self["PLL1DIVR"]["DIVP1"] + 1)

    def _check_pll(self):
        source, config, dividers = self["PLLCKSELR"], self["PLLCFGR"], self["PLL1DIVR"]
        section = f"{self.manual}, RCC_PLLCKSELR"
        require(source["PLLSRC"] == 0, "the PLL's source is HSI, the only one that runs", section)
        require(source["DIVM1"] >= 1, "DIVM1 = 0 switches the prescaler off", section)
        section = f"{self.manual}, RCC_PLLCFGR"
        lowest, highest = ((1, 2), (2, 4), (4, 8), (8, 16))[config["PLL1RGE"]]
        require(lowest * MHZ <= self._pll_input() <= highest * MHZ,
                "the PLL's input is in the range of PLL1RGE", section)  # fmt: skip
        require(config["PLL1FRACEN"] == 0, "PLL1FRACEN = 0 for an integer factor", "RM0433 8.5.5")
        require(config["DIVP1EN"] == 1, "DIVP1EN = 1 for the system clock", section)
        section = f"{self.manual}, RCC_PLL1DIVR"
        require(dividers["DIVN1"] + 1 >= 4, "4 <= DIVN1 <= 512", section)
        factor = dividers["DIVP1"] + 1
        require(factor == 1 or factor % 2 == 0, "DIVP1 is no odd factor", section)
        require(dividers["DIVR1"] >= 1, "DIVR1 = 0 is not allowed", section)
        low, high = ((192 * MHZ, self.highest_vco), (150 * MHZ, 420 * MHZ))[config["PLL1VCOSEL"]]
        require(low <= self._vco() <= high, "the VCO is in the range of PLL1VCOSEL", section)
        # SPI1 to SPI3 take pll1_q_ck unless they are told otherwise.
        require(self._vco() / (dividers["DIVQ1"] + 1) <= 200 * MHZ,
                "pll1_q_ck is within the limit of what it feeds after reset",
                "RM0433 8.5.8, kernel clock distribution")  # fmt: skip

    def check(self):
        """Holds every clock against what voltage, wait states and buses allow now."""
        # The reset clock is the chip's own affair.
        if not self.runs_from_pll():
            return
        clocks = self.frequencies()
        limits = self.chip.pwr.limits()
        for name, hertz in clocks.items():
            limit = limits["PCLK" if name.startswith("PCLK") else name]
            require(hertz <= limit, f"{name} <= {limit / MHZ:.0f} MHz at this voltage",
                    "data sheet DS12110, general operating conditions")  # fmt: skip
        self.chip.flash.check(clocks["HCLK"])

    def _is_ready(self, source):
        return source == 0 or (source == 3 and self["CR"]["PLL1RDY"] == 1)
