// Clock, power and flash of STM32F42x and STM32F74x, which have the same registers for them at the
// same addresses, with the names of their manuals: RM0090 (chapters 3, 5 and 6) and RM0385 (3 to
// 5).
#ifndef MCUFORMER_BOARD_START_UP_STM32F4_F7_H_
#define MCUFORMER_BOARD_START_UP_STM32F4_F7_H_

#include "board/start_up/registers.h"

namespace mcuformer {

namespace rcc {
constexpr uintptr_t CR = 0x40023800, PLLCFGR = 0x40023804, CFGR = 0x40023808, AHB1ENR = 0x40023830,
                    AHB3ENR = 0x40023838, APB1ENR = 0x40023840;
// CR
constexpr uint32_t HSEON = 1U << 16, HSERDY = 1U << 17, PLLON = 1U << 24, PLLRDY = 1U << 25;
// PLLCFGR: PLLM from bit 0, PLLN from 6, PLLP (0: division by 2) from 16, PLLQ from 24.
constexpr uint32_t PLLSRC_HSE = 1U << 22, PLL_FIELDS = 0x0F437FFF;
// CFGR
constexpr uint32_t SW = 3U, SW_PLL = 2U, SWS = 3U << 2, SWS_PLL = 2U << 2;
constexpr uint32_t PPRE1 = 7U << 10, PPRE1_DIV4 = 5U << 10, PPRE2 = 7U << 13, PPRE2_DIV2 = 4U << 13;
// AHB1ENR, AHB3ENR, APB1ENR
constexpr uint32_t GPIOBEN = 1U << 1, GPIODEN = 1U << 3, GPIOEEN = 1U << 4;
constexpr uint32_t QSPIEN = 1U << 1;
constexpr uint32_t PWREN = 1U << 28;
}  // namespace rcc

// On the STM32F74x CR is called CR1, and CSR CSR1.
namespace pwr {
constexpr uintptr_t CR = 0x40007000, CSR = 0x40007004;
constexpr uint32_t ODEN = 1U << 16, ODSWEN = 1U << 17;
constexpr uint32_t ODRDY = 1U << 16, ODSWRDY = 1U << 17;
}  // namespace pwr

namespace flash {
constexpr uintptr_t ACR = 0x40023C00;
constexpr uint32_t LATENCY = 15U, PRFTEN = 1U << 8;
constexpr uint32_t ICEN = 1U << 9, DCEN = 1U << 10;  // STM32F42x
constexpr uint32_t ARTEN = 1U << 9;                  // STM32F74x
}  // namespace flash

enum class Oscillator { kHsi, kHse };

struct ClockTree {
  Oscillator oscillator;
  // Of the PLL: divides the oscillator to 1 or 2 MHz, multiplies that, divides for 48 MHz at most.
  // The system clock is half of what is multiplied.
  uint32_t pll_m, pll_n, pll_q;
  uint32_t wait_states;
  uint32_t accelerator;  // Bits of flash::ACR.
};

// Over-drive and the PLL as system clock, in the order of "Entering Over-drive mode" (RM0090 5.1.4,
// RM0385 4.1.4), with the wait states and caches of flash (RM0090 3.5.1, RM0385 3.3.2) before the
// clock that needs them. The regulator is at scale 1 since reset; APB1 gets a quarter of the
// clock, APB2 half. Returns nullptr, or what failed: then the chip still runs from its HSI.
inline const char* StartClock(const ClockTree& tree) {
  const bool hse = tree.oscillator == Oscillator::kHse;
  if (hse) {
    Set(rcc::CR, rcc::HSEON);
    if (!Await(rcc::CR, rcc::HSERDY, rcc::HSERDY))
      return "start-up: HSE, the crystal, is not ready";
  }
  Write(rcc::PLLCFGR, rcc::PLL_FIELDS,
        tree.pll_m | tree.pll_n << 6 | tree.pll_q << 24 | (hse ? rcc::PLLSRC_HSE : 0));
  Set(rcc::CR, rcc::PLLON);
  EnableClock(rcc::APB1ENR, rcc::PWREN);
  Set(pwr::CR, pwr::ODEN);
  if (!Await(pwr::CSR, pwr::ODRDY, pwr::ODRDY)) return "start-up: over-drive is not ready";
  Set(pwr::CR, pwr::ODSWEN);
  if (!Await(pwr::CSR, pwr::ODSWRDY, pwr::ODSWRDY)) {
    return "start-up: the regulator does not switch to over-drive";
  }
  Write(flash::ACR, flash::LATENCY, tree.wait_states | tree.accelerator);
  if (!Await(flash::ACR, flash::LATENCY, tree.wait_states)) {
    return "start-up: flash does not take its wait states";
  }
  Write(rcc::CFGR, rcc::PPRE1 | rcc::PPRE2, rcc::PPRE1_DIV4 | rcc::PPRE2_DIV2);
  if (!Await(rcc::CR, rcc::PLLRDY, rcc::PLLRDY)) return "start-up: the PLL does not lock";
  Write(rcc::CFGR, rcc::SW, rcc::SW_PLL);
  if (!Await(rcc::CFGR, rcc::SWS, rcc::SWS_PLL)) {
    return "start-up: the PLL does not become the system clock";
  }
  return nullptr;
}

}  // namespace mcuformer

#endif  // MCUFORMER_BOARD_START_UP_STM32F4_F7_H_
