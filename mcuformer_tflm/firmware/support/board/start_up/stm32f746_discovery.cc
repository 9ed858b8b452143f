// STM32F746G-DISCO: maps the QSPI flash (N25Q128A, 16 MB) to 0x90000000, so that constants in it
// can be read as memory. RM0385, chapters 5, 6 and 14. Written from the reference manual; no
// board was at hand to try it. It leaves the clock at reset: HSI, 16 MHz.
#include "board/board.h"

namespace {

volatile uint32_t& Register(uintptr_t address) {
  return *reinterpret_cast<volatile uint32_t*>(address);
}

constexpr uintptr_t kClockOfPorts = 0x40023830, kClockOfQspi = 0x40023838;
constexpr uintptr_t kPortB = 0x40020400, kPortD = 0x40020C00, kPortE = 0x40021000;
constexpr uintptr_t kQspiControl = 0xA0001000, kQspiDevice = 0xA0001004,
                    kQspiCommunication = 0xA0001014;

// An alternate function of a pin, at high speed.
void Connect(uintptr_t port, int pin, uint32_t function) {
  const auto set = [](uintptr_t address, int shift, uint32_t mask, uint32_t value) {
    Register(address) = (Register(address) & ~(mask << shift)) | value << shift;
  };
  set(port + 0x00, 2 * pin, 3, 2);
  set(port + 0x08, 2 * pin, 3, 3);
  set(port + (pin < 8 ? 0x20 : 0x24), 4 * (pin % 8), 15, function);
}

}  // namespace

extern "C" void mcuformer_board_init() {
  Register(kClockOfPorts) = Register(kClockOfPorts) | 1U << 1 | 1U << 3 | 1U << 4;
  Register(kClockOfQspi) = Register(kClockOfQspi) | 1U << 1;
  // Read back: a clock needs two cycles before its device answers.
  [[maybe_unused]] const uint32_t enabled = Register(kClockOfQspi);
  Connect(kPortB, 2, 9);   // CLK
  Connect(kPortB, 6, 10);  // NCS
  Connect(kPortD, 11, 9);  // IO0
  Connect(kPortD, 12, 9);  // IO1
  Connect(kPortE, 2, 9);   // IO2
  Connect(kPortD, 13, 9);  // IO3
  constexpr uint32_t kSizeLog2 = 24;
  Register(kQspiDevice) = (kSizeLog2 - 1) << 16 | 1U << 8;
  Register(kQspiControl) = 1U << 24 | 1U;
  // Memory mapped; instruction 0x03 (read), 24-bit address and data on one line.
  Register(kQspiCommunication) = 3U << 26 | 1U << 24 | 2U << 12 | 1U << 10 | 1U << 8 | 0x03;
}
