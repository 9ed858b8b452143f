// The inner loops of cortex_m/helium.h: four rows by two units, eight sums. VMLADAVA adds to registers
// of even numbers alone, and so the sums take all of them, r14 among them; the odd ones hold four
// rows, the weights and the rounds that are left. Loads stand between products, since the core
// overlaps one with the other.
#include "kernels/cortex_m/target.h"

#ifdef MCUFORMER_CORTEX_M_MVE

  .syntax unified
  .thumb

#define ROW0 r1
#define ROW1 r5
#define ROW2 r7
#define ROW3 r9
#define WEIGHTS r3
#define LEFT r11
// The first unit's sums, then the second's, in the order of loads of several registers.
#define SUMS r0, r2, r4, r6, r8, r10, r12, lr
  .equ kTail, 20  // of HeliumCall

// A function of a call (r1), sums to start from (r2) and weights (WEIGHTS), which it moves behind
// those that it read; LEFT holds the whole steps. The sums are returned in q0 and q1. It keeps r4 to
// r11 alone (HeliumProducts).
.macro BEGIN name, has_tail
  .section .text.\name, "ax", %progbits
  .balign 8
  .global \name
  .type \name, %function
  .thumb_func
\name:
  .if \has_tail
  push {r1, r4-r11, lr}
  .else
  push {r4-r11, lr}
  .endif
  ldm r2, {SUMS}
  ldm r1, {ROW0, ROW1, ROW2, ROW3, LEFT}
.endm

.macro END name, has_tail
  vmov q0[2], q0[0], r0, r4
  vmov q0[3], q0[1], r2, r6
  vmov q1[2], q1[0], r8, r12
  vmov q1[3], q1[1], r10, lr
  .if \has_tail
  pop {r1, r4-r11, pc}
  .else
  pop {r4-r11, pc}
  .endif
  .size \name, . - \name
.endm

.macro LOAD_TAIL
  ldr LEFT, [sp]  // the call
  ldr LEFT, [LEFT, #kTail]
.endm

// Of weights whose units lie apart, word by word: unit 0 from WEIGHTS, unit 1 from LEFT, at the
// offsets in \offsets. LEFT is how many words there are; lanes behind them become zero.
.macro GATHER_WORDS unit0, unit1, offsets
  vctp.32 LEFT
  vpst
  vldrwt.u32 \unit0, [WEIGHTS, \offsets]
  add WEIGHTS, WEIGHTS, #4
  vpst
  vldrwt.u32 \unit1, [WEIGHTS, \offsets]
  add WEIGHTS, WEIGHTS, LEFT, lsl #3
  sub WEIGHTS, WEIGHTS, #4
.endm

// Those offsets, of which LEFT is lost.
.macro LOAD_OFFSETS offsets
  adr LEFT, 9f
  vldrw.u32 \offsets, [LEFT]
.endm

.macro OFFSETS
  .balign 4
9:
  .word 0, 8, 16, 24
.endm

.macro PRODUCTS type, row, sum0, sum1, unit0, unit1
  vmladava.\type \sum0, \row, \unit0
  vmladava.\type \sum1, \row, \unit1
.endm

.macro PRODUCTS_OF_ROWS type, unit0, unit1
  PRODUCTS \type, q0, r0, r8, \unit0, \unit1
  PRODUCTS \type, q1, r2, r10, \unit0, \unit1
  PRODUCTS \type, q2, r4, r12, \unit0, \unit1
  PRODUCTS \type, q3, r6, lr, \unit0, \unit1
.endm

// Two loads of both units' weights, the first and the second.
.macro PAIRED_BYTES which, unit0, unit1
  .if \which == 0
  vld20.32 {\unit0, \unit1}, [WEIGHTS]
  .else
  vld21.32 {\unit0, \unit1}, [WEIGHTS]!
  .endif
.endm
.macro WIDENED_BYTES which, unit0, unit1
  .if \which == 0
  vldrb.s16 \unit0, [WEIGHTS], #8
  .else
  vldrb.s16 \unit1, [WEIGHTS], #8
  .endif
.endm

// A step of 16 bytes of each row, up to the last four products.
.macro BEGIN_STEP type, weights
  \weights 0, q4, q5
  vldrw.u32 q0, [ROW0], #16
  \weights 1, q4, q5
  vldrw.u32 q1, [ROW1], #16
  vmladava.\type r0, q0, q4
  vldrw.u32 q2, [ROW2], #16
  vmladava.\type r8, q0, q5
  vldrw.u32 q3, [ROW3], #16
.endm

// The whole steps, two a round.
.macro STEPS type, weights
  lsrs LEFT, LEFT, #1
  bcc 1f
  BEGIN_STEP \type, \weights
  PRODUCTS \type, q1, r2, r10, q4, q5
  PRODUCTS \type, q2, r4, r12, q4, q5
  PRODUCTS \type, q3, r6, lr, q4, q5
  cmp LEFT, #0
1:
  beq 3f
2:
  BEGIN_STEP \type, \weights
  vmladava.\type r2, q1, q4
  \weights 0, q6, q7
  vmladava.\type r10, q1, q5
  \weights 1, q6, q7
  vmladava.\type r4, q2, q4
  vldrw.u32 q0, [ROW0], #16
  vmladava.\type r12, q2, q5
  vldrw.u32 q1, [ROW1], #16
  vmladava.\type r6, q3, q4
  vldrw.u32 q2, [ROW2], #16
  vmladava.\type lr, q3, q5
  vldrw.u32 q3, [ROW3], #16
  subs LEFT, LEFT, #1
  PRODUCTS_OF_ROWS \type, q6, q7
  bne 2b
3:
.endm

// int8 by int8, 16 values a step; the tail has 1 to 3 words.
.macro INT8 name, has_tail
  BEGIN \name, \has_tail
  STEPS s8, PAIRED_BYTES
  .if \has_tail
  LOAD_OFFSETS q7
  LOAD_TAIL
  GATHER_WORDS q4, q5, q7
  vpstttt
  vldrwt.u32 q0, [ROW0]
  vldrwt.u32 q1, [ROW1]
  vldrwt.u32 q2, [ROW2]
  vldrwt.u32 q3, [ROW3]
  PRODUCTS_OF_ROWS s8, q4, q5
  .endif
  END \name, \has_tail
  .if \has_tail
  OFFSETS
  .endif
.endm

  INT8 McuformerHeliumInt8, 0
  INT8 McuformerHeliumInt8Tail, 1

// int16 by int8, 8 values a step; the tail has 1 to 7 values, and its units lie 4 or 8 apart.
.macro INT16 name, has_tail
  BEGIN \name, \has_tail
  STEPS s16, WIDENED_BYTES
  .if \has_tail
  LOAD_TAIL
  vctp.16 LEFT
  cmp LEFT, #4
  ite le
  movle LEFT, #4
  movgt LEFT, #8
  vpst
  vldrbt.s16 q4, [WEIGHTS]
  add WEIGHTS, WEIGHTS, LEFT
  vpst
  vldrbt.s16 q5, [WEIGHTS]
  add WEIGHTS, WEIGHTS, LEFT
  vpstttt
  vldrht.u16 q0, [ROW0]
  vldrht.u16 q1, [ROW1]
  vldrht.u16 q2, [ROW2]
  vldrht.u16 q3, [ROW3]
  PRODUCTS_OF_ROWS s16, q4, q5
  .endif
  END \name, \has_tail
.endm

  INT16 McuformerHeliumInt16, 0
  INT16 McuformerHeliumInt16Tail, 1

// Nibbles of both units, in q0 and q1, to q4 to q7: the low ones of a unit, its high ones.
.macro UNPACK
  vmov.i8 q2, #15
  vshr.u8 q5, q0, #4
  vand q4, q0, q2
  vshr.u8 q7, q1, #4
  vand q6, q1, q2
.endm

.macro PRODUCTS_OF_NIBBLES sum0, sum1, low, high
  vmladava.s8 \sum0, \low, q4
  vmladava.s8 \sum1, \low, q6
  vmladava.s8 \sum0, \high, q5
  vmladava.s8 \sum1, \high, q7
.endm

.macro NIBBLES_OF_ROW row, sum0, sum1
  vpst
  vldrwt.u32 q0, [\row, q3]
  add \row, \row, #4
  vpst
  vldrwt.u32 q1, [\row, q3]
  PRODUCTS_OF_NIBBLES \sum0, \sum1, q0, q1
.endm

// int8 by nibbles, 32 values a step; the tail has 1 to 3 words of eight.
.macro INT4 name, has_tail
  BEGIN \name, \has_tail
  cmp LEFT, #0
  beq 3f
2:
  vld20.32 {q0, q1}, [WEIGHTS]
  vld21.32 {q0, q1}, [WEIGHTS]!
  UNPACK
  vld20.32 {q0, q1}, [ROW0]
  vld21.32 {q0, q1}, [ROW0]!
  vmladava.s8 r0, q0, q4
  vld20.32 {q2, q3}, [ROW1]
  vmladava.s8 r8, q0, q6
  vld21.32 {q2, q3}, [ROW1]!
  vmladava.s8 r0, q1, q5
  vmladava.s8 r8, q1, q7
  vld20.32 {q0, q1}, [ROW2]
  vmladava.s8 r2, q2, q4
  vld21.32 {q0, q1}, [ROW2]!
  vmladava.s8 r10, q2, q6
  vmladava.s8 r2, q3, q5
  vmladava.s8 r10, q3, q7
  vld20.32 {q2, q3}, [ROW3]
  vmladava.s8 r4, q0, q4
  vld21.32 {q2, q3}, [ROW3]!
  vmladava.s8 r12, q0, q6
  vmladava.s8 r4, q1, q5
  vmladava.s8 r12, q1, q7
  subs LEFT, LEFT, #1
  PRODUCTS_OF_NIBBLES r6, lr, q2, q3
  bne 2b
3:
  .if \has_tail
  LOAD_OFFSETS q3
  LOAD_TAIL
  GATHER_WORDS q0, q1, q3
  UNPACK
  NIBBLES_OF_ROW ROW0, r0, r8
  NIBBLES_OF_ROW ROW1, r2, r10
  NIBBLES_OF_ROW ROW2, r4, r12
  NIBBLES_OF_ROW ROW3, r6, lr
  .endif
  END \name, \has_tail
  .if \has_tail
  OFFSETS
  .endif
.endm

  INT4 McuformerHeliumInt4, 0
  INT4 McuformerHeliumInt4Tail, 1

#endif  // MCUFORMER_CORTEX_M_MVE

#ifdef __ELF__
  // For every core: an object without it makes a host's stack executable.
  .section .note.GNU-stack, "", %progbits
#endif
