// Whether the compiler's target runs the tuned code of this folder. MCUFORMER_PORTABLE keeps to
// the portable code everywhere. Read by assembly too: preprocessor lines only.
#ifndef MCUFORMER_KERNELS_CORTEX_M_TARGET_H_
#define MCUFORMER_KERNELS_CORTEX_M_TARGET_H_

#if !defined(MCUFORMER_PORTABLE) && defined(__ARM_ARCH_PROFILE) && defined(__ARM_FEATURE_DSP)
#if __ARM_ARCH_PROFILE == 'M'
#define MCUFORMER_CORTEX_M_DSP
// The inner loops keep their end in an FPU register.
#if defined(__ARM_FP)
#define MCUFORMER_CORTEX_M_DOT
#endif
#endif
#endif

#endif  // MCUFORMER_KERNELS_CORTEX_M_TARGET_H_
