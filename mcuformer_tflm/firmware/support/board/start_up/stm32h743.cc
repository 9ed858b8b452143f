// STM32H743: the highest clock that its revision has, from the HSI, which every board with the chip
// has: 480 MHz (VOS0) since revision V, 400 MHz (VOS1) before. Supplied by the LDO, as the chip is
// unless its pins bypass that. RM0433, chapters 4 (flash), 6 (PWR) and 8 (RCC).
#include "board/board.h"
#include "board/start_up/registers.h"

namespace mcuformer {
namespace {

namespace rcc {
constexpr uintptr_t CR = 0x58024400, CFGR = 0x58024410, D1CFGR = 0x58024418, D2CFGR = 0x5802441C,
                    D3CFGR = 0x58024420, PLLCKSELR = 0x58024428, PLLCFGR = 0x5802442C,
                    PLL1DIVR = 0x58024430, APB4ENR = 0x580244F4;
// CR
constexpr uint32_t PLL1ON = 1U << 24, PLL1RDY = 1U << 25;
// CFGR
constexpr uint32_t SW = 7U, SW_PLL1 = 3U, SWS = 7U << 3, SWS_PLL1 = 3U << 3;
// D1CFGR, D2CFGR, D3CFGR: the buses get half the core's clock, their peripherals half of that.
constexpr uint32_t HPRE = 15U, HPRE_DIV2 = 8U, D1PPRE = 7U << 4, D1PPRE_DIV2 = 4U << 4;
constexpr uint32_t D2PPRE1 = 7U << 4, D2PPRE1_DIV2 = 4U << 4, D2PPRE2 = 7U << 8,
                   D2PPRE2_DIV2 = 4U << 8;
constexpr uint32_t D3PPRE = 7U << 4, D3PPRE_DIV2 = 4U << 4;
// PLLCKSELR: 64 MHz / 4
constexpr uint32_t PLLSRC = 3U, PLLSRC_HSI = 0U, DIVM1 = 63U << 4, DIVM1_4 = 4U << 4;
// PLLCFGR: for an input of 8 to 16 MHz
constexpr uint32_t PLL1FRACEN = 1U, PLL1VCOSEL = 1U << 1, PLL1RGE = 3U << 2, PLL1RGE_8_16 = 3U << 2;
// PLL1DIVR: each field is one less than its factor; P = 2, Q = 8, R = 2
constexpr uint32_t N1 = 511U, P1 = 127U << 9, Q1 = 127U << 16, R1 = 127U << 24;
constexpr uint32_t PLL1_OUTPUTS = 1U << 9 | 7U << 16 | 1U << 24;
// APB4ENR
constexpr uint32_t SYSCFGEN = 1U << 1;
}  // namespace rcc

namespace pwr {
constexpr uintptr_t CSR1 = 0x58024804, D3CR = 0x58024818;
constexpr uint32_t ACTVOSRDY = 1U << 13, ACTVOS = 3U << 14;
constexpr uint32_t VOSRDY = 1U << 13, VOS = 3U << 14, VOS_SCALE1 = 3U << 14;
}  // namespace pwr

namespace flash {
constexpr uintptr_t ACR = 0x52002000;
constexpr uint32_t LATENCY = 15U, WRHIGHFREQ = 3U << 4, WRHIGHFREQ_ABOVE_185_MHZ = 2U << 4;
}  // namespace flash

namespace syscfg {
constexpr uintptr_t PWRCR = 0x5800042C;
constexpr uint32_t ODEN = 1U;
}  // namespace syscfg

constexpr uintptr_t DBGMCU_IDCODE = 0x5C001000, AXI_TARG7_FN_MOD = 0x51008108;
constexpr uint32_t kRevisionX = 0x2001, kRevisionV = 0x2003;

}  // namespace

// What follows the supply.
extern "C" __attribute__((used)) const char* mcuformer_start_clock(bool supplied) {
  if (!supplied) return "start-up: the supply by the LDO is not valid";
  const uint32_t revision = Register(DBGMCU_IDCODE) >> 16;
  const bool vos0 = revision >= kRevisionV;
  if (revision < kRevisionX) {
    // Revision Y may read wrong data of AXI SRAM: one read at a time there (ES0392; ST's own
    // start-up does so).
    Register(AXI_TARG7_FN_MOD) = 1;
  }
  Write(pwr::D3CR, pwr::VOS, pwr::VOS_SCALE1);
  if (!Await(pwr::CSR1, pwr::ACTVOS | pwr::ACTVOSRDY, pwr::VOS_SCALE1 | pwr::ACTVOSRDY)) {
    return "start-up: the regulator does not reach VOS1";
  }
  if (vos0) {
    EnableClock(rcc::APB4ENR, rcc::SYSCFGEN);
    Set(syscfg::PWRCR, syscfg::ODEN);
    if (!Await(pwr::D3CR, pwr::VOSRDY, pwr::VOSRDY)) {
      return "start-up: the regulator does not reach VOS0";
    }
  }
  Write(rcc::PLLCKSELR, rcc::DIVM1 | rcc::PLLSRC, rcc::DIVM1_4 | rcc::PLLSRC_HSI);
  Write(rcc::PLLCFGR, rcc::PLL1FRACEN | rcc::PLL1VCOSEL | rcc::PLL1RGE, rcc::PLL1RGE_8_16);
  // 16 MHz * 60 / 2, or * 50 / 2.
  Write(rcc::PLL1DIVR, rcc::N1 | rcc::P1 | rcc::Q1 | rcc::R1,
        rcc::PLL1_OUTPUTS | ((vos0 ? 60U : 50U) - 1));
  Set(rcc::CR, rcc::PLL1ON);
  // Table 17 of RM0433, for an AXI bus of 240 MHz at VOS0, or 200 MHz at VOS1.
  const uint32_t wait_states = vos0 ? 4 : 2;
  Write(flash::ACR, flash::LATENCY | flash::WRHIGHFREQ,
        wait_states | flash::WRHIGHFREQ_ABOVE_185_MHZ);
  if (!Await(flash::ACR, flash::LATENCY, wait_states)) {
    return "start-up: flash does not take its wait states";
  }
  Write(rcc::D1CFGR, rcc::HPRE | rcc::D1PPRE, rcc::HPRE_DIV2 | rcc::D1PPRE_DIV2);
  Write(rcc::D2CFGR, rcc::D2PPRE1 | rcc::D2PPRE2, rcc::D2PPRE1_DIV2 | rcc::D2PPRE2_DIV2);
  Write(rcc::D3CFGR, rcc::D3PPRE, rcc::D3PPRE_DIV2);
  if (!Await(rcc::CR, rcc::PLL1RDY, rcc::PLL1RDY)) return "start-up: the PLL does not lock";
  Write(rcc::CFGR, rcc::SW, rcc::SW_PLL1);
  if (!Await(rcc::CFGR, rcc::SWS, rcc::SWS_PLL1)) {
    return "start-up: the PLL does not become the system clock";
  }
  return nullptr;
}

}  // namespace mcuformer

// First the supply: until its voltage is valid nothing may be written to RAM, the stack included
// (RM0433 6.4.1). PWR_CR3: LDOEN, without BYPASS; its lower byte is written once after power-on.
// Then up to 50'000 reads of PWR_CSR1 for ACTVOSRDY, and on with r0 = it came.
extern "C" __attribute__((weak, naked)) const char* mcuformer_board_init() {
  asm volatile(
      "ldr r1, =0x5802480C\n"
      "ldr r0, [r1]\n"
      "bic r0, #7\n"
      "orr r0, #2\n"
      "str r0, [r1]\n"
      "movw r2, #50000\n"
      "1: ldr r0, [r1, #-8]\n"
      "ubfx r0, r0, #13, #1\n"
      "cbnz r0, 2f\n"
      "subs r2, #1\n"
      "bne 1b\n"
      "2: b mcuformer_start_clock");
}
