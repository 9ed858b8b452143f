#include "kernels/integer_sqrt.h"

namespace mcuformer {

uint32_t IntegerSqrt(uint32_t n, int iterations) { return InlineIntegerSqrt(n, iterations); }

}  // namespace mcuformer
