// Passes over four rows at once, for cores with the DSP extension: what a compiler would do with
// more loads, stores and counting. Declared in cortex_m/rows.h.
#include "kernels/cortex_m/target.h"

#ifdef MCUFORMER_CORTEX_M_SMLAD

  .syntax unified
  .thumb

.macro FUNCTION name
  .section .text.\name, "ax", %progbits
  .balign 8
  .global \name
  .type \name, %function
  .thumb_func
\name:
.endm

// r0: rows of int8, r1: stride, r2: steps, r3: token block.
  FUNCTION McuformerWidenFour
  push {r4-r11, lr}
  add r12, r0, r1, lsl #1
  add lr, r12, r1
  add r1, r0, r1
1:
  ldr r8, [r0], #4
  ldr r9, [r1], #4
  ldr r10, [r12], #4
  ldr r11, [lr], #4
  sxtb16 r4, r8
  sxtb16 r5, r9
  sxtb16 r6, r10
  sxtb16 r7, r11
  sxtb16 r8, r8, ror #8
  sxtb16 r9, r9, ror #8
  sxtb16 r10, r10, ror #8
  sxtb16 r11, r11, ror #8
  stm r3!, {r4-r11}
  subs r2, r2, #1
  bne 1b
  pop {r4-r11, pc}
  .size McuformerWidenFour, . - McuformerWidenFour

// r0: packed weights of 8 bits, r1: steps, r2: where they are widened.
  FUNCTION McuformerWidenWeights
  push {r4-r11, lr}
  lsrs r1, r1, #1
  bcc 1f
  ldm r0!, {r8, r9}
  sxtb16 r4, r8
  sxtb16 r5, r9
  sxtb16 r6, r8, ror #8
  sxtb16 r7, r9, ror #8
  stm r2!, {r4-r7}
1:
  cbz r1, 3f
2:
  ldm r0!, {r8, r9, r12, lr}
  sxtb16 r4, r8
  sxtb16 r5, r9
  sxtb16 r6, r8, ror #8
  sxtb16 r7, r9, ror #8
  sxtb16 r8, r12
  sxtb16 r9, lr
  sxtb16 r10, r12, ror #8
  sxtb16 r11, lr, ror #8
  stm r2!, {r4-r11}
  subs r1, r1, #1
  bne 2b
3:
  pop {r4-r11, pc}
  .size McuformerWidenWeights, . - McuformerWidenWeights

// A loop over r1 steps, each of which takes `half` twice: two a round, of which the first one starts
// in the middle where they are odd.
.macro TWO_STEPS_A_ROUND half
  adds r1, #1
  lsrs r1, r1, #1
  bcc.w 2f
1:
  \half
  \half
2:
  \half
  \half
  subs r1, r1, #1
  bne.w 1b
.endm

.macro GREATER_PAIRS
  ldm r0!, {r8-r11}
  ssub16 r3, r8, r4
  sel r4, r8, r4
  ssub16 r3, r9, r5
  sel r5, r9, r5
  ssub16 r3, r10, r6
  sel r6, r10, r6
  ssub16 r3, r11, r7
  sel r7, r11, r7
.endm

// r0: token block, r1: steps, r2: the greatest of each row, as pairs.
  FUNCTION McuformerGreatestOfFour
  push {r4-r11, lr}
  mov r4, #0x80008000
  mov r5, r4
  mov r6, r4
  mov r7, r4
  TWO_STEPS_A_ROUND GREATER_PAIRS
  .irp pair, r4, r5, r6, r7
  ror r8, \pair, #16
  ssub16 r3, r8, \pair
  sel \pair, r8, \pair
  .endr
  stm r2, {r4-r7}
  pop {r4-r11, pc}
  .size McuformerGreatestOfFour, . - McuformerGreatestOfFour

// A pair of logits becomes a pair of exponentials, which joins the row's sum.
.macro EXPONENTIALS pair, greatest, sum
  qsub16 \pair, \greatest, \pair
  usat16 \pair, #8, \pair
  uxtb r10, \pair
  lsr.w \pair, \pair, #16
  ldrsh r10, [r2, r10, lsl #1]
  ldrsh \pair, [r2, \pair, lsl #1]
  pkhbt \pair, r10, \pair, lsl #16
  smlad \sum, \pair, r7, \sum
.endm

.macro EXPONENTIALS_OF_TWO
  ldrd r8, r9, [r0]
  EXPONENTIALS r8, r3, r5
  EXPONENTIALS r9, r4, r6
  strd r8, r9, [r0], #16
.endm

// r0: the first of two rows of a token block, r1: steps, r2: table, r3: the greatest of both rows,
// as pairs; their sums take their place.
  FUNCTION McuformerExponentialsOfTwo
  push {r3-r10, lr}
  ldrd r3, r4, [r3]
  movs r5, #0
  movs r6, #0
  mov r7, #0x00010001
  TWO_STEPS_A_ROUND EXPONENTIALS_OF_TWO
  pop {r3}
  strd r5, r6, [r3]
  pop {r4-r10, pc}
  .size McuformerExponentialsOfTwo, . - McuformerExponentialsOfTwo

.macro PROBABILITIES pair, factor
  smlawb lr, \factor, \pair, r12
  smlawt \pair, \factor, \pair, r12
  asr.w lr, lr, #14
  pkhbt \pair, lr, \pair, lsl #2
.endm

.macro PROBABILITIES_OF_FOUR
  ldm r0, {r8-r11}
  PROBABILITIES r8, r4
  PROBABILITIES r9, r5
  PROBABILITIES r10, r6
  PROBABILITIES r11, r7
  stm r0!, {r8-r11}
.endm

// r0: token block, r1: steps, r2: factor of each row.
  FUNCTION McuformerProbabilitiesOfFour
  push {r4-r11, lr}
  ldm r2, {r4-r7}
  mov r12, #1 << 13
  TWO_STEPS_A_ROUND PROBABILITIES_OF_FOUR
  pop {r4-r11, pc}
  .size McuformerProbabilitiesOfFour, . - McuformerProbabilitiesOfFour

#endif  // MCUFORMER_CORTEX_M_SMLAD

#ifdef __ELF__
  // For every core: an object without it makes a host's stack executable.
  .section .note.GNU-stack, "", %progbits
#endif
