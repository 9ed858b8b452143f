/* The counter by which a program is profiled: the core's own, unless the program defines both
   functions itself. */
#ifndef MCUFORMER_BOARD_CYCLES_H_
#define MCUFORMER_BOARD_CYCLES_H_

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Starts the counter. True, and its name in `text`; false where there is none, and why. */
bool mcuformer_cycles_begin(const char** text);

/* Now, modulo 2^32: what lies between two readings is at most 2^32 - 1 cycles. */
uint32_t mcuformer_cycles(void);

#ifdef __cplusplus
}
#endif

#endif /* MCUFORMER_BOARD_CYCLES_H_ */
