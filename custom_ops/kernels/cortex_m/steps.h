// One step of the inner loops, as macros for assembly: four tokens by two units, sums in r4-r11.
//
// Four tokens by two units fill the core: eight sums, two words of weights, two of activations,
// two pointers. Hence the weights of a step are loaded twice, once for each half of their bytes.
// 26 instructions for 32 products (8 bits), 58 for 64 (4 bits), of four bytes each. Every step
// moves the pointers itself and has the same size, so that loops can be entered in the middle.
#ifndef MCUFORMER_KERNELS_CORTEX_M_STEPS_H_
#define MCUFORMER_KERNELS_CORTEX_M_STEPS_H_

// clang-format off
#define BLOCK r0
#define WEIGHTS r1
#define W0 r2
#define W1 r3
#define X0 r12
#define X1 lr

#define INT8_STEP_BYTES 4 * 26
#define INT4_STEP_BYTES 4 * 58

// Products of a pair of values of four tokens with W0 and W1, added to eight sums.
.macro PRODUCTS s0=r4, s1=r5, s2=r6, s3=r7, t0=r8, t1=r9, t2=r10, t3=r11
  ldrd X0, X1, [BLOCK], #8
  smlad r4, X0, W0, \s0
  smlad r8, X0, W1, \t0
  smlad r5, X1, W0, \s1
  smlad r9, X1, W1, \t1
  ldrd X0, X1, [BLOCK], #8
  smlad r6, X0, W0, \s2
  smlad r10, X0, W1, \t2
  smlad r7, X1, W0, \s3
  smlad r11, X1, W1, \t3
.endm

// Starts the sums of the two units from r7 and r11.
.macro FIRST_PRODUCTS
  PRODUCTS r7, r7, r7, r7, r11, r11, r11, r11
.endm

.macro STEP_INT8 first=PRODUCTS
  ldrd W0, W1, [WEIGHTS]
  sxtb16 W0, W0
  sxtb16 W1, W1
  \first
  ldrd W0, W1, [WEIGHTS], #8
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

.macro STEP_INT4 first=PRODUCTS
  ldrd W0, W1, [WEIGHTS]
  and W0, W0, #0x000F000F
  and W1, W1, #0x000F000F
  \first
  ldrd W0, W1, [WEIGHTS]
  NIBBLES 4
  PRODUCTS
  ldrd W0, W1, [WEIGHTS]
  NIBBLES 8
  PRODUCTS
  ldrd W0, W1, [WEIGHTS], #8
  NIBBLES 12
  PRODUCTS
.endm

// clang-format on

#endif  // MCUFORMER_KERNELS_CORTEX_M_STEPS_H_
