// What start-up, guards, faults and stack tell each other and the application.
#ifndef MCUFORMER_BOARD_BOARD_H_
#define MCUFORMER_BOARD_BOARD_H_

#include <cstddef>
#include <cstdint>

namespace mcuformer {

// Opens to the program what it may touch, and nothing else: code and constants are read only,
// RAM cannot be executed, 256 bytes before and after the arena and below the stack are closed.
// A stray access ends in a memory management fault.
void ProtectMemory();

// The most bytes of stack that were in use since reset.
size_t StackHighWater();
size_t StackBytes();

}  // namespace mcuformer

extern "C" {

// Hooks, each with a default that a program's own definition replaces.

// First thing after reset, before .data and .bss hold anything: clocks, external flash. Returns
// nullptr, or in one line what failed, which is told as a fault once memory holds what it should.
// The default is the board's start-up (board/start_up); without one the reset clock stays.
const char* mcuformer_board_init();

// An interrupt of the board. The default is a fault.
void mcuformer_interrupt(int number);

// A fault, told in one line. The default writes it (app/io.h) and stops.
[[noreturn]] void mcuformer_fault(const char* text);

}  // extern "C"

#endif  // MCUFORMER_BOARD_BOARD_H_
