#include "kernels/argmax.h"

namespace mcuformer {

void Argmax(int rows, int units, const int8_t* input, int32_t* output) {
  for (int row = 0; row < rows; ++row, input += units) {
    int greatest = 0;
    for (int i = 1; i < units; ++i) {
      if (input[i] > input[greatest]) greatest = i;
    }
    output[row] = greatest;
  }
}

}  // namespace mcuformer
