// One step of the inner loops, as macros for assembly: four tokens by two units, sums in r4-r11.
//
// Eight sums, two words of weights, two of activations and two pointers are all the registers that
// there are. Hence the weights of a step are loaded twice, once for each half of their bytes. All
// instructions have four bytes, and every step moves the pointers itself and has the same size, so
// that loops can be entered in the middle. A step reads nothing beyond its own values.
//
// LDRD loads all words in pairs: 26 instructions for 32 products of 8 bits, 58 for 64 of 4 bits, 22
// for 32 of weights of 8 bits that were widened before (McuformerWidenWeights).
#ifndef MCUFORMER_KERNELS_CORTEX_M_STEPS_H_
#define MCUFORMER_KERNELS_CORTEX_M_STEPS_H_

#include "kernels/cortex_m/target.h"

// clang-format off
#define BLOCK r0
#define WEIGHTS r1
#define W0 r2
#define W1 r3
#define X0 r12
#define X1 lr

#define INT8_STEP_BYTES 4 * 26
#define INT4_STEP_BYTES 4 * 58
#define LONG_STEP_BYTES 4 * 30
#define WIDENED_STEP_BYTES 4 * 22
#define LONG_WIDENED_STEP_BYTES 4 * 28

// A pair of values of the first two tokens.
.macro LOAD_TWO_TOKENS
  ldrd X0, X1, [BLOCK], #16
.endm

// Products of the pair, and of that of the other two tokens, with W0 and W1, added to eight sums.
.macro PRODUCTS s0=r4, s1=r5, s2=r6, s3=r7, t0=r8, t1=r9, t2=r10, t3=r11
  smlad r4, X0, W0, \s0
  smlad r8, X0, W1, \t0
  smlad r9, X1, W1, \t1
  smlad r5, X1, W0, \s1
  ldrd X0, X1, [BLOCK, #-8]
  smlad r6, X0, W0, \s2
  smlad r10, X0, W1, \t2
  smlad r7, X1, W0, \s3
  smlad r11, X1, W1, \t3
.endm

// Calls a step so that it starts the sums of the two units from r7 and r11.
.macro FIRST step
  \step r7, r7, r7, r7, r11, r11, r11, r11
.endm

.macro STEP_INT8 s0=r4, s1=r5, s2=r6, s3=r7, t0=r8, t1=r9, t2=r10, t3=r11
  ldrd W0, W1, [WEIGHTS]
  LOAD_TWO_TOKENS
  sxtb16 W0, W0
  sxtb16 W1, W1
  PRODUCTS \s0, \s1, \s2, \s3, \t0, \t1, \t2, \t3
  ldrd W0, W1, [WEIGHTS], #8
  LOAD_TWO_TOKENS
  sxtb16 W0, W0, ror #8
  sxtb16 W1, W1, ror #8
  PRODUCTS
.endm

.macro NIBBLES shift
  lsr.w W0, W0, #\shift
  lsr.w W1, W1, #\shift
  and W0, W0, #0x000F000F
  and W1, W1, #0x000F000F
.endm

.macro STEP_INT4 s0=r4, s1=r5, s2=r6, s3=r7, t0=r8, t1=r9, t2=r10, t3=r11
  ldrd W0, W1, [WEIGHTS]
  LOAD_TWO_TOKENS
  and W0, W0, #0x000F000F
  and W1, W1, #0x000F000F
  PRODUCTS \s0, \s1, \s2, \s3, \t0, \t1, \t2, \t3
  ldrd W0, W1, [WEIGHTS]
  LOAD_TWO_TOKENS
  NIBBLES 4
  PRODUCTS
  ldrd W0, W1, [WEIGHTS]
  LOAD_TWO_TOKENS
  NIBBLES 8
  PRODUCTS
  ldrd W0, W1, [WEIGHTS], #8
  LOAD_TWO_TOKENS
  NIBBLES 12
  PRODUCTS
.endm

// Weights that were widened before: both halves of a step are alike.
.macro STEP_WIDENED s0=r4, s1=r5, s2=r6, s3=r7, t0=r8, t1=r9, t2=r10, t3=r11
  ldrd W0, W1, [WEIGHTS], #8
  LOAD_TWO_TOKENS
  PRODUCTS \s0, \s1, \s2, \s3, \t0, \t1, \t2, \t3
  ldrd W0, W1, [WEIGHTS], #8
  LOAD_TWO_TOKENS
  PRODUCTS
.endm

#ifdef MCUFORMER_CORTEX_M7

// A step of long rows. An M7 multiplies in one pipe while the other one loads, but LDRD takes both:
// what is needed while there are products comes in single loads, each before a product, as soon as a
// register is free. That is the third token's for weights of the second unit, and theirs for the
// first token of the other half. The weights of the first half are there: the step before has loaded
// them, and this one loads those of the next, unless it is the last.
.macro LONG_STEP s0=r4, s1=r5, s2=r6, s3=r7, t0=r8, t1=r9, t2=r10, t3=r11, last=0
  ldrd X0, X1, [BLOCK], #32
  sxtb16 W0, W0
  sxtb16 W1, W1
  smlad r4, X0, W0, \s0
  smlad r8, X0, W1, \t0
  ldr X0, [BLOCK, #-24]
  smlad r9, X1, W1, \t1
  smlad r5, X1, W0, \s1
  ldr X1, [BLOCK, #-20]
  smlad r6, X0, W0, \s2
  smlad r10, X0, W1, \t2
  ldr X0, [WEIGHTS, #4]
  smlad r7, X1, W0, \s3
  ldr W0, [WEIGHTS], #8
  smlad r11, X1, W1, \t3
  ldrd W1, X1, [BLOCK, #-16]
  sxtb16 W0, W0, ror #8
  sxtb16 X0, X0, ror #8
  smlad r4, W1, W0, r4
  smlad r8, W1, X0, r8
  ldr W1, [BLOCK, #-8]
  smlad r9, X1, X0, r9
  smlad r5, X1, W0, r5
  ldr X1, [BLOCK, #-4]
  smlad r6, W1, W0, r6
  smlad r10, W1, X0, r10
.if !\last
  ldr.w W1, [WEIGHTS, #4]
.endif
  smlad r7, X1, W0, r7
.if !\last
  ldr.w W0, [WEIGHTS]
.endif
  smlad r11, X1, X0, r11
.endm

// Half a step of long rows whose weights were widened before: each word is loaded in the shade of a
// product, as soon as the one in its register is done with, and two cycles before it is used. X0,
// W0 and W1 are there at the start, and those of the next half are loaded, unless it is the last.
.macro LONG_WIDENED_HALF at, moves, s0=r4, s1=r5, s2=r6, s3=r7, t0=r8, t1=r9, t2=r10, t3=r11, last=0
  smlad r4, X0, W0, \s0
  ldr X1, [BLOCK, #\at + 4]
  smlad r8, X0, W1, \t0
  ldr X0, [BLOCK, #\at + 8]
  smlad r5, X1, W0, \s1
  smlad r9, X1, W1, \t1
  ldr X1, [BLOCK, #\at + 12]
  smlad r6, X0, W0, \s2
  smlad r10, X0, W1, \t2
.if !\last
  ldr X0, [BLOCK, #\at + 16]\moves
.endif
  smlad r7, X1, W0, \s3
.if !\last
  ldr W0, [WEIGHTS], #4
.endif
  smlad r11, X1, W1, \t3
.if !\last
  ldr W1, [WEIGHTS], #4
.endif
.endm

.macro LONG_STEP_WIDENED s0=r4, s1=r5, s2=r6, s3=r7, t0=r8, t1=r9, t2=r10, t3=r11, last=0
  LONG_WIDENED_HALF 0, "", \s0, \s1, \s2, \s3, \t0, \t1, \t2, \t3
  LONG_WIDENED_HALF 16, "!", last=\last
.endm

#endif

// clang-format on

#endif  // MCUFORMER_KERNELS_CORTEX_M_STEPS_H_
