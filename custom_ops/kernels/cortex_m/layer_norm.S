// LayerNorm's inner loops for MVE: what a compiler would do with more registers than there are.
// Declared in cortex_m/layer_norm.h.
#include "kernels/cortex_m/target.h"

#ifdef MCUFORMER_CORTEX_M_MVE

  .syntax unified
  .thumb

.macro LOAD_INT8 x
  vldrb.s16 q6, [\x], #8
.endm
.macro LOAD_INT16 x
  vldrh.u16 q6, [\x], #16
.endm

// Eight values of a row, the even ones in q7, the odd ones in q6, the columns' gamma in q3 and q2, their
// beta in q4 and q5. Results are saturated while they have eight fractional bits, and 16 in all.
.macro NORMALISE load, x, factor, offset, inverse, y
  \load \x
  vmovlb.s16 q7, q6
  vmovlt.s16 q6, q6
  vmlas.s32 q7, \factor, \offset
  vmlas.s32 q6, \factor, \offset
  vqrdmulh.s32 q7, q7, \inverse
  vqrdmulh.s32 q6, q6, \inverse
  vmulh.s32 q7, q7, q3
  vmulh.s32 q6, q6, q2
  vadd.i32 q7, q7, q4
  vadd.i32 q6, q6, q5
  vqmovnb.s32 q7, q7
  vqmovnt.s32 q7, q6
  vshr.s16 q7, q7, #8
  vstrb.16 q7, [\y], #8
.endm

.macro NORMALISE_ROWS load, rows
  vldrh.u16 q2, [r9], #16
  vld20.32 {q4, q5}, [r10]
  vld21.32 {q4, q5}, [r10]!
  vshllb.s16 q3, q2, #16
  vshllt.s16 q2, q2, #16
  NORMALISE \load, r0, q0, r6, r12, r1
.if \rows == 2
  NORMALISE \load, r4, q1, r7, r8, r3
.endif
.endm

// r0: rows, r1: output, r2: a RowScale of each, r3: Columns. bits: of a value.
.macro FUNCTION name, load, bits, rows
  .section .text.\name, "ax", %progbits
  .balign 8
  .global \name
  .type \name, %function
  .thumb_func
\name:
  push {r4-r10, lr}
  vpush {d8-d15}
  ldm r3, {r9, r10, lr}
.if \rows == 2
  add r3, r1, lr
  add r4, r0, lr, lsl #\bits / 16
  ldrd r5, r7, [r2, #16]
  ldr r8, [r2, #24]
  vdup.32 q1, r5
.endif
  ldm r2, {r5, r6, r12}
  vdup.32 q0, r5
  // Two eights a round, of which the first one starts in the middle where they are odd.
  lsrs lr, lr, #4
  bcc 1f
  add lr, lr, #1
  dls lr, lr
  b 2f
1:
  dls lr, lr
1:
  NORMALISE_ROWS \load, \rows
2:
  NORMALISE_ROWS \load, \rows
  le lr, 1b
  vpop {d8-d15}
  pop {r4-r10, pc}
  .size \name, . - \name
.endm

  FUNCTION McuformerNormaliseOneOfInt8, LOAD_INT8, 8, 1
  FUNCTION McuformerNormaliseTwoOfInt8, LOAD_INT8, 8, 2
  FUNCTION McuformerNormaliseOneOfInt16, LOAD_INT16, 16, 1
  FUNCTION McuformerNormaliseTwoOfInt16, LOAD_INT16, 16, 2

#endif  // MCUFORMER_CORTEX_M_MVE

#ifdef __ELF__
  // For every core: an object without it makes a host's stack executable.
  .section .note.GNU-stack, "", %progbits
#endif
