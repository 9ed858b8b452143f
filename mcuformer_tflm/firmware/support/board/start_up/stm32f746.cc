// STM32F746: 216 MHz, its highest clock, from the HSI, which every board with the chip has:
// 16 MHz / 8 * 216 / 2. Flash at 2.7 to 3.6 V takes 7 wait states (RM0385, 3.3.2).
#include "board/board.h"
#include "board/start_up/stm32f4_f7.h"

extern "C" __attribute__((weak)) const char* mcuformer_board_init() {
  using namespace mcuformer;
  return StartClock({.oscillator = Oscillator::kHsi,
                     .pll_m = 8,
                     .pll_n = 216,
                     .pll_q = 9,
                     .wait_states = 7,
                     .accelerator = flash::PRFTEN | flash::ARTEN});
}
