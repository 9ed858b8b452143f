// What model.cc does where it is profiled (-DMCUFORMER_PROFILE=ON): it reads the counter before the
// first operator and after each, and nothing else.
#ifndef MCUFORMER_APP_READINGS_H_
#define MCUFORMER_APP_READINGS_H_

#include <cstdint>

#include "board/cycles.h"

namespace mcuformer {

// In model.cc: its operators' names in order, and the counter's readings of the last inference,
// one more than there are operators.
extern const char* const kProfiledOperators[];
extern const int kNumProfiledOperators;
extern uint32_t readings[];

}  // namespace mcuformer

#define MCUFORMER_READ_COUNTER(operators_done) \
  mcuformer::readings[operators_done] = mcuformer_cycles()

#endif  // MCUFORMER_APP_READINGS_H_
