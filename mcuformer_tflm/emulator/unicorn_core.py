"""A Cortex-M that Unicorn emulates: fast to start, in this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from mcuformer_tflm.emulator.core import CallError, Memory, Ran, stretches
from mcuformer_tflm.emulator.extra import emulator_extra
from mcuformer_tflm.keras_models.checked_values import checked_choice

_BX_LR = b"\x70\x47"
UNICORN_CORES = ("cortex-m33", "cortex-m4", "cortex-m7")


class UnicornCore:
    """A ``Core``.

    Args:
        core: One of ``UNICORN_CORES``.
        memories: What memory it has.
        starts: Where the parts of its program begin that are told apart.
        end: An address in memory where nothing runs, to which calls return.
    """

    def __init__(
        self, core: str, memories: Sequence[Memory], end: int, starts: Sequence[int] = ()
    ) -> None:
        """Starts with memory of zeros."""
        with emulator_extra():
            import unicorn
            from unicorn import arm_const

        self._unicorn, self._registers = unicorn, arm_const
        self._uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self._uc.ctl_set_cpu_model(core_model(core))
        for memory in memories:
            access = unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC
            if memory.writable:
                access |= unicorn.UC_PROT_WRITE
            self._uc.mem_map(memory.address, memory.size, access)
        self._end = end
        self._parts = {start: part for part, start in enumerate(starts, 1)}
        self._callbacks: dict[int, Callable[[int, int, int], None]] = {}
        self._part = 0
        self._ran: list[Counter[int]] = []
        self._loaded: list[int] = []
        self._touched: set[int] = set()
        self._uc.hook_add(unicorn.UC_HOOK_BLOCK, self._count)

    def write(self, address: int, data: bytes) -> None:
        """Writes memory, also where programs may not."""
        self._uc.mem_write(address, data)

    def read(self, address: int, size: int) -> bytes:
        """Reads memory."""
        return bytes(self._uc.mem_read(address, size))

    def callback(self, address: int, answer: Callable[[int, int, int], None]) -> bytes:
        """Returns code, to be laid at an address, that calls ``answer`` (``Core.callback``)."""
        self._callbacks[address] = answer
        return _BX_LR

    def forget_callbacks(self) -> None:
        """Forgets what ``callback`` was told."""
        self._callbacks.clear()

    def call(
        self, entry: int, registers: Sequence[int], stack: int, watch: range | None = None
    ) -> Ran:
        """Calls a function (``Core.call``).

        Raises:
            CallError: If it does not return.
        """
        regs = self._registers
        for i, value in enumerate(registers):
            self._uc.reg_write(getattr(regs, f"UC_ARM_REG_R{i}"), value)
        self._uc.reg_write(regs.UC_ARM_REG_SP, stack)
        self._uc.reg_write(regs.UC_ARM_REG_LR, self._end | 1)
        parts = len(self._parts) + 1
        self._part, self._ran = 0, [Counter() for _ in range(parts)]
        self._loaded, self._touched = [0] * parts, set()
        hook = None
        if watch is not None:
            hook = self._uc.hook_add(
                self._unicorn.UC_HOOK_MEM_READ, self._load, begin=watch.start, end=watch.stop - 1
            )
        try:
            self._uc.emu_start(entry | 1, self._end)
        except self._unicorn.UcError as error:
            pc = self._uc.reg_read(regs.UC_ARM_REG_PC)
            raise CallError(f"at 0x{pc:x}: {error}") from None
        finally:
            if hook is not None:
                self._uc.hook_del(hook)
        return Ran(
            tuple(self._uc.reg_read(getattr(regs, f"UC_ARM_REG_R{i}")) for i in range(12)),
            self._uc.reg_read(regs.UC_ARM_REG_SP),
            tuple(
                Counter({(block >> 16, block & 0xFFFF): times for block, times in ran.items()})
                for ran in self._ran
            ),
            tuple(self._loaded),
            stretches(sorted(self._touched)),
        )

    def _count(self, uc: Any, address: int, size: int, _: Any) -> None:
        if address in self._parts:
            self._part = self._parts[address]
        elif address in self._callbacks:
            regs = self._registers
            self._callbacks[address](
                uc.reg_read(regs.UC_ARM_REG_R1),
                uc.reg_read(regs.UC_ARM_REG_R2),
                uc.reg_read(regs.UC_ARM_REG_R3),
            )
            uc.reg_write(regs.UC_ARM_REG_R0, 1)
        self._ran[self._part][(address << 16) | size] += 1

    def _load(self, uc: Any, access: int, address: int, size: int, value: int, _: Any) -> None:
        self._loaded[self._part] += size
        self._touched.update(range(address, address + size))


def core_model(core: str) -> int:
    """Returns Unicorn's number of a core.

    Raises:
        ConfigError: If it has none.
        ToolchainError: If the extra ``emulator`` is missing.
    """
    with emulator_extra():
        from unicorn import arm_const

    checked_choice("core", core, UNICORN_CORES)
    suffix = core.removeprefix("cortex-").upper()
    return int(getattr(arm_const, f"UC_CPU_ARM_CORTEX_{suffix}"))
