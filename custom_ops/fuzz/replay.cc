// Runs a fuzz target once on each file that is named, and says how often each operator's Eval ran.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#ifdef MCUFORMER_REPLAY_OPERATORS
#include "tflm/register.h"
extern int operator_runs[mcuformer::kNumOperators];
#endif

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    std::FILE* file = std::fopen(argv[i], "rb");
    if (file == nullptr) {
      std::fprintf(stderr, "cannot read %s\n", argv[i]);
      return 1;
    }
    std::fseek(file, 0, SEEK_END);
    const size_t size = static_cast<size_t>(std::ftell(file));
    std::rewind(file);
    uint8_t* data = static_cast<uint8_t*>(std::malloc(size));
    if (std::fread(data, 1, size, file) != size) return 1;
    std::fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    std::free(data);
  }
  std::printf("%d inputs\n", argc - 1);
#ifdef MCUFORMER_REPLAY_OPERATORS
  TFLMRegistration registrations[mcuformer::kNumOperators];
  mcuformer::AllRegistrations(registrations);
  for (int i = 0; i < mcuformer::kNumOperators; ++i) {
    std::printf("%s %d\n", registrations[i].custom_name, operator_runs[i]);
  }
#endif
  return 0;
}
