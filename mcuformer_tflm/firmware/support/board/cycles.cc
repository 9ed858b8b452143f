// The core's own cycle counter, of the data watchpoint and trace unit (DWT). ARMv7-M Architecture
// Reference Manual, C1.6.5 (DEMCR) and C1.8 (DWT); the lock is of the Cortex-M7 (Technical
// Reference Manual, DWT programmers' model). ARMv8-M has them at the same addresses.
//
// QEMU has no DWT. There the counter of its board stands in (Arm's application notes AN385, AN505
// and AN547: COUNTER of the FPGA's registers, 25 MHz by QEMU's source, 20 for the M33 and the M55),
// which knows nothing of a core's cycles: it follows the host's time, or with `-icount shift=6` the
// instructions, 1.6 each, 1.28 on the M33 and the M55.
#include "board/cycles.h"

#include "board_shape.h"

namespace {

volatile uint32_t& Register(uintptr_t address) {
  return *reinterpret_cast<volatile uint32_t*>(address);
}

#ifdef MCUFORMER_EMULATED
#ifdef __ARM_FEATURE_MVE
constexpr uintptr_t kCounter = 0x59302018;  // the secure address
#elif __ARM_ARCH >= 8
constexpr uintptr_t kCounter = 0x50302018;  // the secure address
#else
constexpr uintptr_t kCounter = 0x40028018;
#endif

bool Begin(const char** text) {
  *text = "QEMU";
  return true;
}
#else
constexpr uintptr_t kDebugControl = 0xE000EDFC, kControl = 0xE0001000, kCounter = 0xE0001004,
                    kLockAccess = 0xE0001FB0, kLockStatus = 0xE0001FB4;
constexpr uint32_t kTraceEnable = 1U << 24, kNoCounter = 1U << 25, kCounterEnable = 1U,
                   kLockPresent = 1U, kUnlock = 0xC5ACCE55;

bool Begin(const char** text) {
  Register(kDebugControl) = Register(kDebugControl) | kTraceEnable;
  if (Register(kLockStatus) & kLockPresent) Register(kLockAccess) = kUnlock;
  if (Register(kControl) & kNoCounter) {
    *text = "the core has no cycle counter (DWT_CTRL.NOCYCCNT is 1)";
    return false;
  }
  Register(kCounter) = 0;
  Register(kControl) = Register(kControl) | kCounterEnable;
  asm volatile("dsb\n isb" ::: "memory");
  const uint32_t first = Register(kCounter);
  // A reading takes cycles itself.
  const bool counts = Register(kCounter) != first;
  *text = counts ? "DWT" : "the cycle counter stands still (DWT_CYCCNT)";
  return counts;
}
#endif

}  // namespace

extern "C" {

__attribute__((weak)) bool mcuformer_cycles_begin(const char** text) { return Begin(text); }
__attribute__((weak)) uint32_t mcuformer_cycles() { return Register(kCounter); }

}  // extern "C"
