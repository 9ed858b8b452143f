// Whether the compiler's target runs the tuned code of this folder. MCUFORMER_PORTABLE keeps to
// the portable code everywhere. Read by assembly too: preprocessor lines only.
#ifndef MCUFORMER_KERNELS_CORTEX_M_TARGET_H_
#define MCUFORMER_KERNELS_CORTEX_M_TARGET_H_

#if !defined(MCUFORMER_PORTABLE) && defined(__ARM_ARCH_PROFILE) && defined(__ARM_FEATURE_DSP)
#if __ARM_ARCH_PROFILE == 'M'
#define MCUFORMER_CORTEX_M_DSP
#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)
// Helium: vectors of integers. Its products take the place of the DSP extension's.
#define MCUFORMER_CORTEX_M_MVE
#else
#define MCUFORMER_CORTEX_M_SMLAD
// The inner loops keep their end in an FPU register.
#if defined(__ARM_FP)
#define MCUFORMER_CORTEX_M_DOT
#endif
#endif
// An M7 has loops of its own, which any core can run. It and the M4 differ in no macro but those of
// the FPU: double precision, or FPv5, of which GCC says nothing. Where neither tells, the build
// may: without MCUFORMER_CORTEX_M7 an M7 runs the M4's loops, which only costs time.
#if defined(__ARM_ARCH_7EM__) && !defined(MCUFORMER_CORTEX_M7)
#if defined(__ARM_FPV5__) || (defined(__ARM_FP) && (__ARM_FP & 8))
#define MCUFORMER_CORTEX_M7
#endif
#endif
#endif
#endif

#if defined(MCUFORMER_HELIUM) && !defined(MCUFORMER_CORTEX_M_MVE) && !defined(MCUFORMER_PORTABLE)
#error \
    "MCUFORMER_HELIUM is defined, but the compiler's target has no Helium (MVE): give it a core \
that has, such as -mcpu=cortex-m55 without +nomve, or leave the definition out."
#endif

#endif  // MCUFORMER_KERNELS_CORTEX_M_TARGET_H_
