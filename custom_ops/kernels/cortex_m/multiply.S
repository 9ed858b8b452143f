// Four tokens by all units of a layer, sums rescaled and stored, for cores with the DSP extension.
//
// A loop over pairs of units around the inner loop, which leaves its sums in registers: where rows
// are short, calls, copies of sums and a compiler's loops take longer than the products. All else
// waits on the stack, where the arguments lie, and is used up there.
//
// Sums are rescaled as RescaleDown in kernels/fixed_point.h does it: what is shifted out last is
// the half that is to be rounded, and comes back as carry with the addend. A shift by nothing
// leaves the carry of the sign's correction, which takes the correction back.
#include "kernels/cortex_m/target.h"

#ifdef MCUFORMER_CORTEX_M_SMLAD

  .syntax unified
  .thumb

#include "kernels/cortex_m/steps.h"

// What is passed, above the registers that are saved: MultiplyCall, and behind it what each
// function takes (cortex_m/multiply.h).
#define CALL 36
#define FIRST_STEP (CALL + 0)
#define NEXT_STEP (CALL + 4)
#define TOKENS (CALL + 8)
#define TOKENS_END (CALL + 12)
#define FINISH (CALL + 16)  // the weights before
#define WEIGHTS_END (CALL + 20)
#define CONSTANTS (CALL + 24)
#define CONSTANTS_STEP (CALL + 28)
#define OFFSETS (CALL + 32)
#define OUTPUT (CALL + 36)
#define ZERO_POINT (CALL + 40)
// Of rows.
#define TO_TOKEN (CALL + 44)
#define TO_HALF (CALL + 48)
#define ADVANCE (CALL + 52)
#define ROWS_TABLE (CALL + 60)
// Of columns, of a block, of sums with residuals.
#define TO_PAIR (CALL + 44)
#define TABLE (CALL + 44)
#define RESIDUAL (CALL + 48)
#define FACTOR (CALL + 52)
// Of logits, which have no constants of units.
#define NOTHING CONSTANTS_STEP  // and OFFSETS: two words of 0
#define FRACTION (CALL + 40)
#define STARTS (CALL + 48)
#define OFFSET (CALL + 64)
#define ROW_END (CALL + 68)
#define ROWS (CALL + 72)
#define ROW_BYTES (CALL + 76)

.macro FUNCTION name
  .section .text.\name, "ax", %progbits
  .balign 8
  .global \name
  .type \name, %function
  .thumb_func
\name:
.endm

// The inner loop: the first step of a pair starts its sums from r7 and r11; it goes on at
// NEXT_STEP, in the middle of the others, and ends at FINISH.
.macro INNER_LOOP name, step, bytes, unroll
  FUNCTION \name\()First
  FIRST \step
  ldr pc, [sp, #NEXT_STEP]
  .size \name\()First, . - \name\()First
  .balign 4
  .global \name\()Next
  .type \name\()Next, %function
  .thumb_func
\name\()Next:
1:
  .rept \unroll
  \step
  .endr
  ldr W0, [sp, #TOKENS_END]
  cmp BLOCK, W0
  bne.w 1b
  ldr pc, [sp, #FINISH]
  .size \name\()Next, . - \name\()Next
.endm

  INNER_LOOP McuformerInt8, STEP_INT8, INT8_STEP_BYTES, 16
  INNER_LOOP McuformerWidened, STEP_WIDENED, WIDENED_STEP_BYTES, 8
#ifndef MCUFORMER_INT8_WEIGHTS_ONLY
  INNER_LOOP McuformerInt4, STEP_INT4, INT4_STEP_BYTES, 4
#endif

#ifdef MCUFORMER_CORTEX_M7
// The same for steps that load ahead: `free` waits for nothing between them.
.macro LONG_INNER_LOOP name, step, free
  FIRST \step
  ldr pc, [sp, #NEXT_STEP]
  .size \name\()First, . - \name\()First
  FUNCTION \name\()Next
1:
  .rept 8
  \step
  .endr
  ldr \free, [sp, #TOKENS_END]
  cmp BLOCK, \free
  bne.w 1b
  \step last=1
  ldr pc, [sp, #FINISH]
  .size \name\()Next, . - \name\()Next
.endm

  FUNCTION McuformerLongInt8First
  ldrd W0, W1, [WEIGHTS]
  LONG_INNER_LOOP McuformerLongInt8, LONG_STEP, X0

  FUNCTION McuformerLongWidenedFirst
  ldrd W0, W1, [WEIGHTS], #8
  ldr X0, [BLOCK]
  LONG_INNER_LOOP McuformerLongWidened, LONG_STEP_WIDENED, X1
#endif

// Saves registers and has the inner loop end at 2; behind it lies 1.
.macro ENTER
  push {r0-r3}
  push {r4-r11, lr}
  adr r2, 2f
  FINISH_AT_R2
.endm

.macro FINISH_AT_R2
  ldr WEIGHTS, [sp, #FINISH]
  adds r2, #1
  str r2, [sp, #FINISH]
  ldr r3, [sp, #NEXT_STEP]
  cmp r3, #0
  bne 1f
  str r2, [sp, #NEXT_STEP]
.endm

.macro LEAVE
  pop {r4-r11, lr}
  add sp, sp, #16
  bx lr
.endm

// Starts a pair of units from their biases.
.macro START_PAIR
  ldr r12, [sp, #CONSTANTS]
  ldr r7, [r12]
  ldr r11, [r12, #12]
  ldr BLOCK, [sp, #TOKENS]
  ldr pc, [sp, #FIRST_STEP]
  .balign 4
.endm

// What 4-bit weights, held as nibbles, add to the sums of each token.
.macro ADD_OFFSETS
#ifndef MCUFORMER_INT8_WEIGHTS_ONLY
  ldr lr, [sp, #OFFSETS]
  cmp lr, #0
  beq 3f
  ldm lr, {r0, r2, r3, lr}
  add r4, r4, r0
  add r5, r5, r2
  add r6, r6, r3
  add r7, r7, lr
  add r8, r8, r0
  add r9, r9, r2
  add r10, r10, r3
  add r11, r11, lr
3:
#endif
.endm

// Rescales the sums of a unit whose constants r12 leads to, with an addend; goes to `other` where
// they are none of RescaleDown's.
.macro RESCALE_UNIT at, addend, other, s0, s1, s2, s3
  ldrd r2, r3, [r12, #\at]
  ands r0, r3, r2, lsl #1
  bpl.w \other
  lsls r2, r2, #1
  rsbs r3, r3, #0
  RESCALE_BY \addend, \s0, \s1, \s2, \s3
.endm

.macro RESCALE_BY addend, s0, s1, s2, s3
  .irp sum, \s0, \s1, \s2, \s3
  smmlar \sum, \sum, r2, \sum
  .endr
  .irp sum, \s0, \s1, \s2, \s3
  adds \sum, \sum, \sum, asr #31
  asrs \sum, \sum, r3
  adc \sum, \sum, \addend
  .endr
.endm

.macro NEXT_CONSTANTS
  ldr r0, [sp, #CONSTANTS_STEP]
  add r12, r12, r0
  str r12, [sp, #CONSTANTS]
.endm

.macro SATURATE bits
  .irp sum, r4, r5, r6, r7, r8, r9, r10, r11
  ssat \sum, #\bits, \sum
  .endr
.endm

// Ends a pair: goes on with the next, or returns null, or at 9 where the pair ended that this
// code does not serve.
.macro END_PAIR
  ldr r2, [sp, #WEIGHTS_END]
  cmp WEIGHTS, r2
  bne.w 1b
  movs r0, #0
  LEAVE
9:
  mov r0, WEIGHTS
  LEAVE
.endm

.macro RESCALE_PAIR
  ADD_OFFSETS
  ldr r12, [sp, #CONSTANTS]
  ldr lr, [sp, #ZERO_POINT]
  RESCALE_UNIT 4, lr, 9f, r4, r5, r6, r7
  RESCALE_UNIT 16, lr, 9f, r8, r9, r10, r11
  NEXT_CONSTANTS
.endm

// Both units of a token lie side by side and are stored at once.
.macro STORE_ROWS bytes
  .if \bytes == 1
  STORE_FOUR_ROWS strh, #8, #8
  .else
  STORE_FOUR_ROWS str.w, #16, #16
  .endif
.endm

.macro STORE_FOUR_ROWS store, at, bits
  bfi r4, r8, \at, \bits
  bfi r5, r9, \at, \bits
  bfi r6, r10, \at, \bits
  bfi r7, r11, \at, \bits
  add r12, r2, r3
  \store r4, [r0]
  \store r5, [r0, r2]
  \store r6, [r0, r3]
  \store r7, [r0, r12]
.endm

.macro LOOK_UP
  .irp sum, r4, r5, r6, r7, r8, r9, r10, r11
  ldrsb \sum, [r3, \sum]
  .endr
.endm

// int8 into rows or keys: tokens 1 and 3 lie TO_TOKEN behind 0 and 2, and these TO_HALF apart; the
// next pair of units lies behind by what ADVANCE says in turn.
.macro MULTIPLY_TO_ROWS name, look_up
  FUNCTION \name
  ENTER
1:
  START_PAIR
2:
  RESCALE_PAIR
  SATURATE 8
  .if \look_up
  ldr r3, [sp, #ROWS_TABLE]
  LOOK_UP
  .endif
  ldr r0, [sp, #OUTPUT]
  ldrd r2, r3, [sp, #TO_TOKEN]
  STORE_ROWS 1
  ldrd r2, r3, [sp, #ADVANCE]
  add r0, r0, r2
  strd r3, r2, [sp, #ADVANCE]
  str r0, [sp, #OUTPUT]
  END_PAIR
  .size \name, . - \name
.endm

  MULTIPLY_TO_ROWS McuformerMultiplyToRows, 0
  MULTIPLY_TO_ROWS McuformerMultiplyToRowsByTable, 1

// int8 into packed weights of which a token is a column, in the order of logits: four tokens of two
// units are two words.
  FUNCTION McuformerMultiplyToColumns
  ENTER
1:
  START_PAIR
2:
  RESCALE_PAIR
  SATURATE 8
  ldr r0, [sp, #OUTPUT]
  ldr r2, [sp, #TO_PAIR]
  bfi r4, r6, #8, #8
  bfi r5, r7, #8, #8
  pkhbt r4, r4, r5, lsl #16
  bfi r8, r10, #8, #8
  bfi r9, r11, #8, #8
  pkhbt r5, r8, r9, lsl #16
  strd r4, r5, [r0]
  add r0, r0, r2
  str r0, [sp, #OUTPUT]
  END_PAIR
  .size McuformerMultiplyToColumns, . - McuformerMultiplyToColumns

// A token block: the even values of four tokens, then the odd ones; two pairs make a step.
.macro STORE_BLOCK
  ldr r0, [sp, #OUTPUT]
  strh r4, [r0]
  strh r5, [r0, #4]
  strh r6, [r0, #8]
  strh r7, [r0, #12]
  strh r8, [r0, #16]
  strh r9, [r0, #20]
  strh r10, [r0, #24]
  strh r11, [r0, #28]
  and r2, r0, #2
  eor r0, r0, #2
  add r0, r0, r2, lsl #4
  str r0, [sp, #OUTPUT]
.endm

// int8 into a token block, looked up in a table where there is one.
  FUNCTION McuformerMultiplyToBlock
  ENTER
1:
  START_PAIR
2:
  RESCALE_PAIR
  SATURATE 8
  ldr r3, [sp, #TABLE]
  cbz r3, 4f
  LOOK_UP
4:
  STORE_BLOCK
  END_PAIR
  .size McuformerMultiplyToBlock, . - McuformerMultiplyToBlock

// Shifts a unit's sums left, with saturation, where its constants want it; a shift of 0 then
// remains. Goes back to 9 where the multiplier is none of RescaleDown's.
.macro SHIFT_UNIT back, s0, s1, s2, s3
  lsls r2, r2, #1
  bpl.w 9b
  cbz r3, 2f
1:
  .irp sum, \s0, \s1, \s2, \s3
  qadd \sum, \sum, \sum
  .endr
  subs r3, r3, #1
  bne 1b
2:
  b.w \back
.endm

.macro RESCALE_OR_SHIFT_UNIT at, other, back, s0, s1, s2, s3
  ldrd r2, r3, [r12, #\at]
  ands r0, r3, r2, lsl #1
  bpl.w \other
  lsls r2, r2, #1
  rsbs r3, r3, #0
\back:
  RESCALE_BY #0, \s0, \s1, \s2, \s3
.endm

.macro ADD_RESIDUAL load, sum, at
  \load lr, [r0, #\at]
  mla lr, lr, r2, r3
  smmlar \sum, lr, r12, \sum
.endm

// Sums with residuals, in rows; what both carry in fractional bits is shifted out.
.macro MULTIPLY_TO_RESIDUAL name, load, bytes
  FUNCTION \name
  ENTER
1:
  START_PAIR
2:
  ADD_OFFSETS
  ldr r12, [sp, #CONSTANTS]
  RESCALE_OR_SHIFT_UNIT 4, 7f, 5, r4, r5, r6, r7
  RESCALE_OR_SHIFT_UNIT 16, 8f, 6, r8, r9, r10, r11
  NEXT_CONSTANTS
  ldr r0, [sp, #RESIDUAL]
  add r2, r0, #2 * \bytes
  str r2, [sp, #RESIDUAL]
  ldrd r2, r3, [sp, #FACTOR]
  ldr r12, [sp, #FACTOR + 8]
  ADD_RESIDUAL \load, r4, 0
  ADD_RESIDUAL \load, r8, \bytes
  ldr lr, [sp, #TO_TOKEN]
  add r0, r0, lr
  ADD_RESIDUAL \load, r5, 0
  ADD_RESIDUAL \load, r9, \bytes
  ldr lr, [sp, #TO_TOKEN]
  add r0, r0, lr
  ADD_RESIDUAL \load, r6, 0
  ADD_RESIDUAL \load, r10, \bytes
  ldr lr, [sp, #TO_TOKEN]
  add r0, r0, lr
  ADD_RESIDUAL \load, r7, 0
  ADD_RESIDUAL \load, r11, \bytes
  ldr lr, [sp, #ZERO_POINT]
  .irp sum, r4, r5, r6, r7, r8, r9, r10, r11
  add \sum, \sum, \sum, asr #31
  asrs \sum, \sum, #8
  adc \sum, \sum, lr
  ssat \sum, #8 * \bytes, \sum
  .endr
  ldr r0, [sp, #OUTPUT]
  ldr r2, [sp, #TO_TOKEN]
  lsls r3, r2, #1
  STORE_ROWS \bytes
  adds r0, #2 * \bytes
  str r0, [sp, #OUTPUT]
  END_PAIR
7:
  SHIFT_UNIT 5b, r4, r5, r6, r7
8:
  SHIFT_UNIT 6b, r8, r9, r10, r11
  .size \name, . - \name
.endm

  MULTIPLY_TO_RESIDUAL McuformerMultiplyToResidual8, ldrsb, 1
  MULTIPLY_TO_RESIDUAL McuformerMultiplyToResidual16, ldrsh, 2

// Logits: four queries by pairs of keys, which share RescaleDown's constants. A pair of a query is a
// word, to which the biases of the query and both keys are added: they lie side by side, at the
// offset r12 from where the query's biases start, unless a row of patches ends between them.
.macro PAIRS_OF_LOGITS
  pkhbt r4, r4, r8, lsl #16
  pkhbt r5, r5, r9, lsl #16
  pkhbt r6, r6, r10, lsl #16
  pkhbt r7, r7, r11, lsl #16
.endm

  FUNCTION McuformerMultiplyToLogits
  push {r0-r3}
  push {r4-r11, lr}
  ldr r3, [sp, #FRACTION + 4]
  adr r2, 7f
  cmp r3, #0
  blt 3f
  adr r2, 2f
3:
  FINISH_AT_R2
1:
  ldrd r7, r11, [sp, #NOTHING]
  ldr BLOCK, [sp, #TOKENS]
  ldr pc, [sp, #FIRST_STEP]
  .balign 4
2:
  // All fit 16 bits before they are rounded, and so go in pairs from there on.
  ldrd r2, r3, [sp, #FRACTION]
  .irp sum, r4, r5, r6, r7, r8, r9, r10, r11
  smmlar \sum, \sum, r2, \sum
  .endr
  .irp sum, r4, r5, r6, r7, r8, r9, r10, r11
  add \sum, \sum, \sum, asr #31
  asr.w \sum, \sum, r3
  .endr
  PAIRS_OF_LOGITS
  mov r3, #0x00010001
  .irp pair, r4, r5, r6, r7
  shadd16 \pair, \pair, r3
  .endr
4:
  add r12, sp, #STARTS
  ldm r12, {r0, r2, r3, r8, r12}
  cbz r0, 6f
  ldr lr, [sp, #ROW_END]
  add r9, r12, #4
  cmp r9, lr
  bge.w 8f
  str r9, [sp, #OFFSET]
5:
  ldr r0, [r0, r12]
  ldr r2, [r2, r12]
  ldr r3, [r3, r12]
  ldr r8, [r8, r12]
10:
  qadd16 r4, r4, r0
  qadd16 r5, r5, r2
  qadd16 r6, r6, r3
  qadd16 r7, r7, r8
6:
  ldr r0, [sp, #OUTPUT]
  stm r0!, {r4-r7}
  str r0, [sp, #OUTPUT]
  END_PAIR
  .balign 4
7:
  ldrd r2, r3, [sp, #FRACTION]
  adds r3, #1  // its lowest byte counts
  RESCALE_BY #0, r4, r5, r6, r7
  RESCALE_BY #0, r8, r9, r10, r11
  SATURATE 16
  PAIRS_OF_LOGITS
  b.w 4b
8:
  // A row ends behind the pair, or between its keys; r10: the offset where the next row starts.
  // Behind the last one, where the second key of a pair may be missing, it is the last key's.
  ldr r11, [sp, #ROWS]
  sub r10, lr, #2
  subs r11, r11, #1
  str r11, [sp, #ROWS]
  itt ne
  ldrne r11, [sp, #ROW_BYTES]
  addne r10, r10, r11
  add r11, r10, r11
  str r11, [sp, #ROW_END]
  str r10, [sp, #OFFSET]
  cmp r9, lr
  beq.w 5b
  add r9, r10, #2
  str r9, [sp, #OFFSET]
  .irp start, r0, r2, r3, r8
  ldrh lr, [\start, r12]
  ldrh \start, [\start, r10]
  orr \start, lr, \start, lsl #16
  .endr
  b.w 10b
  .size McuformerMultiplyToLogits, . - McuformerMultiplyToLogits

// What C++ needs to know of the loops: InnerLoop4x2 in cortex_m/multiply.h.
.macro DESCRIBE name, bytes, unroll, behind
  .section .rodata.\name, "a", %progbits
  .balign 4
  .global \name
  .type \name, %object
\name:
  .word \name\()First
  .word \name\()Next
  .word \bytes
  .word \unroll
  .word \behind
  .size \name, . - \name
.endm

  DESCRIBE McuformerInt8, INT8_STEP_BYTES, 16, 0
  DESCRIBE McuformerWidened, WIDENED_STEP_BYTES, 8, 0
#ifdef MCUFORMER_CORTEX_M7
  DESCRIBE McuformerLongInt8, LONG_STEP_BYTES, 8, 1
  DESCRIBE McuformerLongWidened, LONG_WIDENED_STEP_BYTES, 8, 1
#endif
#ifndef MCUFORMER_INT8_WEIGHTS_ONLY
  DESCRIBE McuformerInt4, INT4_STEP_BYTES, 4, 0
#endif

#endif  // MCUFORMER_CORTEX_M_SMLAD

#ifdef __ELF__
  // For every core: an object without it makes a host's stack executable.
  .section .note.GNU-stack, "", %progbits
#endif
