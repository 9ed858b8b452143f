// The inner loops of dot.h for Cortex-M with the DSP extension and an FPU.
//
// No register is left (cortex_m/steps.h), and so the end of the block waits in one of the FPU. All
// loops are entered in the middle where the steps are no multiple of the unrolling.
#include "kernels/cortex_m/target.h"

#ifdef MCUFORMER_CORTEX_M_DOT

  .syntax unified
  .thumb

#include "kernels/cortex_m/steps.h"

// A loop over `steps` (r2) steps: `unroll` times `step`, each of `size` bytes of code, that takes
// 2^`log2_bytes` bytes of the block.
.macro DOT_4X2 name, step, size, unroll, log2_bytes
  .section .text.\name, "ax", %progbits
  .balign 8
  .global \name
  .type \name, %function
  .thumb_func
\name:
  push {r4-r11, lr}
  vmov s1, r3
  add r12, BLOCK, r2, lsl #\log2_bytes
  vmov s0, r12
  ldm r3, {r4-r11}
  ands r2, r2, #\unroll - 1
  beq 1f
  // Skip the steps that would go beyond the end.
  rsb r2, r2, #\unroll
  movw r3, #\size
  adr r12, 1f + 1  // Thumb
  mla r2, r2, r3, r12
  bx r2
  .balign 4
1:
  .rept \unroll
  \step
  .endr
  vmov W0, s0
  cmp BLOCK, W0
  bne.w 1b
  vmov W0, s1
  stm W0, {r4-r11}
  pop {r4-r11, pc}
  .size \name, . - \name
.endm

// One token: its pairs lie 16 bytes apart, and registers are plenty.
.macro STEP_1X2_INT8
  ldrd r4, r5, [WEIGHTS], #8
  ldr r6, [BLOCK], #16
  ldr r7, [BLOCK], #16
  sxtb16 r8, r4
  sxtb16 r9, r5
  smlad r12, r6, r8, r12
  smlad lr, r6, r9, lr
  sxtb16 r8, r4, ror #8
  sxtb16 r9, r5, ror #8
  smlad r12, r7, r8, r12
  smlad lr, r7, r9, lr
.endm

.macro PRODUCTS_1X2_INT4 shift
  ldr r6, [BLOCK], #16
  and r8, r7, r4, lsr #\shift
  and r9, r7, r5, lsr #\shift
  smlad r12, r6, r8, r12
  smlad lr, r6, r9, lr
.endm

.macro STEP_1X2_INT4
  ldrd r4, r5, [WEIGHTS], #8
  ldr r6, [BLOCK], #16
  and r8, r4, r7
  and r9, r5, r7
  smlad r12, r6, r8, r12
  smlad lr, r6, r9, lr
  PRODUCTS_1X2_INT4 4
  PRODUCTS_1X2_INT4 8
  PRODUCTS_1X2_INT4 12
.endm

.macro DOT_1X2 name, step
  .section .text.\name, "ax", %progbits
  .balign 8
  .global \name
  .type \name, %function
  .thumb_func
\name:
  push {r4-r9, lr}
  ldrd r12, lr, [r3]
  mov r7, #0x000F000F
  lsrs r2, r2, #1
  bcc 1f
  \step
1:
  beq 3f  // flags of the lsrs: a step sets none
2:
  \step
  \step
  subs r2, r2, #1
  bne 2b
3:
  strd r12, lr, [r3]
  pop {r4-r9, pc}
  .size \name, . - \name
.endm

  DOT_4X2 McuformerDot4x2, STEP_INT8, INT8_STEP_BYTES, 8, 5
  DOT_4X2 McuformerDot4x2Int4, STEP_INT4, INT4_STEP_BYTES, 4, 6
  DOT_1X2 McuformerDot1x2, STEP_1X2_INT8
  DOT_1X2 McuformerDot1x2Int4, STEP_1X2_INT4

#endif  // MCUFORMER_CORTEX_M_DOT

#ifdef __ELF__
  // For every core: an object without it makes a host's stack executable.
  .section .note.GNU-stack, "", %progbits
#endif
