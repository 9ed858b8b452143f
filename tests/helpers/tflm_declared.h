// What examples/stm32_tflm/model_tflm.cc calls of TFLM, declared so that it can be compiled without
// TFLM's sources. tflm_stand_in.cc defines it for the host.
#ifndef MCUFORMER_TESTS_TFLM_DECLARED_H_
#define MCUFORMER_TESTS_TFLM_DECLARED_H_

#include <cstdarg>
#include <cstddef>
#include <cstdint>

#include "tflm/arena_planner.h"
#include "tflm/register.h"

struct TfLiteTensor {
  union {
    int8_t* int8;
  } data;
  size_t bytes;
};

extern "C" void DebugLog(const char* format, va_list args);
extern "C" int DebugVsnprintf(char* buffer, size_t size, const char* format, va_list args);

namespace flatbuffers {

class Verifier {
 public:
  Verifier(const uint8_t* data, size_t size);
};

}  // namespace flatbuffers

namespace tflite {

struct Model;
const Model* GetModel(const void* buffer);
bool VerifyModelBuffer(flatbuffers::Verifier& verifier);

class MicroOpResolver {};

template <unsigned count>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
  TfLiteStatus AddCustom(const char* name, const TFLMRegistration* registration);
};

class SingleArenaBufferAllocator {};

class MicroAllocator {
 public:
  static MicroAllocator* Create(uint8_t* arena, size_t size,
                                mcuformer::MicroMemoryPlanner* planner);
};

class MicroInterpreter {
 public:
  MicroInterpreter(const Model* model, const MicroOpResolver& resolver, MicroAllocator* allocator);
  TfLiteStatus AllocateTensors();
  TfLiteStatus Invoke();
  TfLiteStatus SetMicroExternalContext(void* context);
  TfLiteTensor* input(size_t index);
  TfLiteTensor* output(size_t index);
  size_t outputs_size() const;
};

}  // namespace tflite

namespace mcuformer {

template <typename Resolver>
TfLiteStatus RegisterMcuformerOps(Resolver* resolver);

}  // namespace mcuformer

#endif  // MCUFORMER_TESTS_TFLM_DECLARED_H_
