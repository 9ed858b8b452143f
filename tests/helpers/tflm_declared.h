// What examples/stm32_tflm/model_tflm.cc calls of TFLM, declared so that it can be compiled without
// TFLM's sources. Nothing here is defined: it is never linked.
#ifndef MCUFORMER_TESTS_TFLM_DECLARED_H_
#define MCUFORMER_TESTS_TFLM_DECLARED_H_

#include <cstdarg>
#include <cstddef>
#include <cstdint>

#include "tflm/register.h"

struct TfLiteTensor {
  union {
    int8_t* int8;
  } data;
  size_t bytes;
};

extern "C" void DebugLog(const char* format, va_list args);
extern "C" int DebugVsnprintf(char* buffer, size_t size, const char* format, va_list args);

namespace tflite {

struct Model;
const Model* GetModel(const void* buffer);

class MicroOpResolver {};

template <unsigned count>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
  TfLiteStatus AddCustom(const char* name, const TFLMRegistration* registration);
};

class MicroAllocator {
 public:
  template <typename Planner>
  static MicroAllocator* Create(uint8_t* arena, size_t size, Planner* planner);
};

class MicroInterpreter {
 public:
  MicroInterpreter(const Model* model, const MicroOpResolver& resolver, MicroAllocator* allocator);
  TfLiteStatus AllocateTensors();
  TfLiteStatus Invoke();
  TfLiteStatus SetMicroExternalContext(void* context);
  TfLiteTensor* input(size_t index);
  TfLiteTensor* output(size_t index);
};

}  // namespace tflite

namespace mcuformer {

template <typename Resolver>
TfLiteStatus RegisterMcuformerOps(Resolver* resolver);

}  // namespace mcuformer

#endif  // MCUFORMER_TESTS_TFLM_DECLARED_H_
