// Stands before every source that is fuzzed: messages are counted instead of printed.
#ifndef MCUFORMER_FUZZ_LOG_H_
#define MCUFORMER_FUZZ_LOG_H_

__attribute__((format(printf, 1, 2))) void McuformerFuzzLog(const char* format, ...);
#define MCUFORMER_LOG McuformerFuzzLog

#endif  // MCUFORMER_FUZZ_LOG_H_
