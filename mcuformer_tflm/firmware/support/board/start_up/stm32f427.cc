// STM32F427: 180 MHz, its highest clock, from the HSI, which every board with the chip has:
// 16 MHz / 8 * 180 / 2. Flash at 2.7 to 3.6 V takes 5 wait states (RM0090, table 12).
#include "board/board.h"
#include "board/start_up/stm32f4_f7.h"

extern "C" __attribute__((weak)) const char* mcuformer_board_init() {
  using namespace mcuformer;
  return StartClock({.oscillator = Oscillator::kHsi,
                     .pll_m = 8,
                     .pll_n = 180,
                     .pll_q = 8,
                     .wait_states = 5,
                     .accelerator = flash::PRFTEN | flash::ICEN | flash::DCEN});
}
