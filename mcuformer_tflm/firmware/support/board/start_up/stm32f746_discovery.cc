// STM32F746G-DISCO: 216 MHz from the board's 25 MHz crystal, and its QSPI flash (N25Q128A, or the
// MT25QL128A that took its place) as memory at 0x90000000: fast reads, address and data on four
// lines, at 108 MHz. RM0385, chapters 6 (GPIO) and 14 (QUADSPI); data sheet of the N25Q128A.
#include "board/board.h"
#include "board/start_up/stm32f4_f7.h"

namespace mcuformer {
namespace {

namespace gpio {
constexpr uintptr_t B = 0x40020400, D = 0x40020C00, E = 0x40021000;
constexpr uintptr_t MODER = 0x00, OSPEEDR = 0x08, AFRL = 0x20, AFRH = 0x24;
constexpr uint32_t ALTERNATE = 2, VERY_HIGH_SPEED = 3;
}  // namespace gpio

namespace quadspi {
constexpr uintptr_t CR = 0xA0001000, DCR = 0xA0001004, SR = 0xA0001008, FCR = 0xA000100C,
                    DLR = 0xA0001010, CCR = 0xA0001014, DR = 0xA0001020;
// CR, and the clock's division by 2 in its highest byte
constexpr uint32_t EN = 1U, SSHIFT = 1U << 4, PRESCALER_DIV2 = 1U << 24;
// DCR: the flash has 2^(FSIZE + 1) bytes, and is left alone for CSHT + 1 cycles between commands.
constexpr uint32_t FSIZE_16MB = 23U << 16, CSHT_6_CYCLES = 5U << 8;
// SR, FCR
constexpr uint32_t TCF = 1U << 1, BUSY = 1U << 5;
// CCR
constexpr uint32_t IMODE_1_LINE = 1U << 8, ADMODE_4_LINES = 3U << 10, ADSIZE_24_BITS = 2U << 12,
                   DMODE_1_LINE = 1U << 24, DMODE_4_LINES = 3U << 24, FMODE_READ = 1U << 26,
                   FMODE_MEMORY_MAPPED = 3U << 26;
constexpr uint32_t Dummy(uint32_t cycles) { return cycles << 18; }
}  // namespace quadspi

// The flash's commands, and what it is.
namespace n25q {
constexpr uint32_t RESET_ENABLE = 0x66, RESET_MEMORY = 0x99, READ_ID = 0x9F, WRITE_ENABLE = 0x06,
                   READ_VOLATILE_CONFIGURATION = 0x85, WRITE_VOLATILE_CONFIGURATION = 0x81,
                   QUAD_IO_FAST_READ = 0xEB;
constexpr uint32_t ID = 0x18BA20;
// Ten dummy cycles, without which no quad read keeps up with 108 MHz; no XIP; no wrapping.
constexpr uint32_t DUMMY_CYCLES = 10, VOLATILE_CONFIGURATION = DUMMY_CYCLES << 4 | 1U << 3 | 3U;
// Its longest recovery from a reset takes fewer questions than that.
constexpr int QUESTIONS = 2000;
}  // namespace n25q

// An alternate function of a pin, at the highest speed.
void Connect(uintptr_t port, uint32_t pin, uint32_t function) {
  const uint32_t half = pin % 8;
  Write(port + (pin < 8 ? gpio::AFRL : gpio::AFRH), 15U << 4 * half, function << 4 * half);
  Write(port + gpio::OSPEEDR, 3U << 2 * pin, gpio::VERY_HIGH_SPEED << 2 * pin);
  Write(port + gpio::MODER, 3U << 2 * pin, gpio::ALTERNATE << 2 * pin);
}

void ConnectPins() {
  EnableClock(rcc::AHB1ENR, rcc::GPIOBEN | rcc::GPIODEN | rcc::GPIOEEN);
  Connect(gpio::B, 2, 9);   // CLK
  Connect(gpio::B, 6, 10);  // NCS
  Connect(gpio::D, 11, 9);  // IO0
  Connect(gpio::D, 12, 9);  // IO1
  Connect(gpio::E, 2, 9);   // IO2
  Connect(gpio::D, 13, 9);  // IO3
}

// By bytes: QUADSPI takes as many from its FIFO, or puts there, as an access is wide.
volatile uint8_t& Data() { return *reinterpret_cast<volatile uint8_t*>(quadspi::DR); }

bool Idle() { return Await(quadspi::SR, quadspi::BUSY, 0); }

bool Complete() {
  if (!Await(quadspi::SR, quadspi::TCF, quadspi::TCF)) return false;
  Register(quadspi::FCR) = quadspi::TCF;
  return true;
}

bool Command(uint32_t instruction) {
  if (!Idle()) return false;
  Register(quadspi::CCR) = quadspi::IMODE_1_LINE | instruction;
  return Complete();
}

bool WriteByte(uint32_t instruction, uint32_t value) {
  if (!Idle()) return false;
  Register(quadspi::DLR) = 0;
  Register(quadspi::CCR) = quadspi::DMODE_1_LINE | quadspi::IMODE_1_LINE | instruction;
  Data() = static_cast<uint8_t>(value);
  return Complete();
}

// What the flash answers, its first byte lowest; no answer of it has all bits set.
uint32_t Ask(uint32_t instruction, uint32_t bytes) {
  constexpr uint32_t kNothing = 0xFFFFFFFF;
  if (!Idle()) return kNothing;
  Register(quadspi::DLR) = bytes - 1;
  Register(quadspi::CCR) =
      quadspi::FMODE_READ | quadspi::DMODE_1_LINE | quadspi::IMODE_1_LINE | instruction;
  if (!Complete()) return kNothing;
  uint32_t answer = 0;
  for (uint32_t i = 0; i < bytes; ++i) answer |= static_cast<uint32_t>(Data()) << 8 * i;
  return answer;
}

// Asks until the flash gives the answer: it may be busy with what it was told before.
bool Answers(uint32_t instruction, uint32_t bytes, uint32_t answer) {
  for (int i = 0; i < n25q::QUESTIONS; ++i) {
    if (Ask(instruction, bytes) == answer) return true;
  }
  return false;
}

const char* MapFlash() {
  EnableClock(rcc::AHB3ENR, rcc::QSPIEN);
  Register(quadspi::DCR) = quadspi::FSIZE_16MB | quadspi::CSHT_6_CYCLES;
  // 216 MHz / 2. At that the flash answers later than half a cycle: data is sampled half a
  // cycle later still.
  Register(quadspi::CR) = quadspi::PRESCALER_DIV2 | quadspi::SSHIFT | quadspi::EN;
  // A reset of the chip alone leaves the flash as it was.
  if (!Command(n25q::RESET_ENABLE) || !Command(n25q::RESET_MEMORY)) {
    return "start-up: QUADSPI does not complete a command";
  }
  if (!Answers(n25q::READ_ID, 3, n25q::ID)) {
    return "start-up: the QSPI flash does not answer as an N25Q128A";
  }
  if (!Command(n25q::WRITE_ENABLE) ||
      !WriteByte(n25q::WRITE_VOLATILE_CONFIGURATION, n25q::VOLATILE_CONFIGURATION)) {
    return "start-up: QUADSPI does not complete a command";
  }
  if (!Answers(n25q::READ_VOLATILE_CONFIGURATION, 1, n25q::VOLATILE_CONFIGURATION)) {
    return "start-up: the QSPI flash does not take its dummy cycles";
  }
  if (!Idle()) return "start-up: QUADSPI stays busy";
  // No command had an address: QUADSPI_AR is 0, as ES0290 wants it before memory is mapped.
  Register(quadspi::CCR) = quadspi::FMODE_MEMORY_MAPPED | quadspi::DMODE_4_LINES |
                           quadspi::Dummy(n25q::DUMMY_CYCLES) | quadspi::ADSIZE_24_BITS |
                           quadspi::ADMODE_4_LINES | quadspi::IMODE_1_LINE |
                           n25q::QUAD_IO_FAST_READ;
  return nullptr;
}

}  // namespace
}  // namespace mcuformer

extern "C" __attribute__((weak)) const char* mcuformer_board_init() {
  using namespace mcuformer;
  // 25 MHz / 25 * 432 / 2. The crystal holds 108 MHz, the flash's highest, which the HSI might
  // pass.
  const char* failure = StartClock({.oscillator = Oscillator::kHse,
                                    .pll_m = 25,
                                    .pll_n = 432,
                                    .pll_q = 9,
                                    .wait_states = 7,
                                    .accelerator = flash::PRFTEN | flash::ARTEN});
  if (failure != nullptr) return failure;
  ConnectPins();
  return MapFlash();
}
