// The model in TFLM's interpreter, behind the interface of the firmware without one
// (mcuformer.h): the application, start-up and guards around it are the same.
#include <cstdarg>
#include <cstring>
#include <new>

#include "app/io.h"
#include "mcuformer.h"
#include "tensorflow/lite/micro/debug_log.h"
#include "tensorflow/lite/micro/micro_allocator.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"
#include "tflm/arena_planner.h"
#include "tflm/input_source.h"
#include "tflm/register.h"

// model_data.S
extern "C" const uint8_t mcuformer_model[], mcuformer_model_end[];

namespace {

alignas(16) __attribute__((section(".mcuformer.arena"))) uint8_t arena[MCUFORMER_ARENA_BYTES];

using Resolver = tflite::MicroMutableOpResolver<mcuformer::kNumOperators>;

// Made in place by mcuformer_init: neither has a cheap empty state.
alignas(Resolver) uint8_t resolver_memory[sizeof(Resolver)];
alignas(mcuformer::ArenaPlanner) uint8_t planner_memory[sizeof(mcuformer::ArenaPlanner)];
alignas(tflite::MicroInterpreter) uint8_t interpreter_memory[sizeof(tflite::MicroInterpreter)];
tflite::MicroInterpreter* interpreter;
mcuformer::InputSource source;

}  // namespace

extern "C" bool mcuformer_init() {
  const size_t size = static_cast<size_t>(mcuformer_model_end - mcuformer_model);
  auto* resolver = new (resolver_memory) Resolver;
  if (mcuformer::RegisterMcuformerOps(resolver) != kTfLiteOk) return false;
  auto* planner =
      new (planner_memory) mcuformer::ArenaPlanner(mcuformer_model, size, arena, sizeof(arena));
  auto* allocator = tflite::MicroAllocator::Create(arena, sizeof(arena), planner);
  interpreter = new (interpreter_memory)
      tflite::MicroInterpreter(tflite::GetModel(mcuformer_model), *resolver, allocator);
  if (interpreter->AllocateTensors() != kTfLiteOk) {
    if (planner->error() != nullptr) mcuformer::IoWrite(planner->error());
    return false;
  }
  return interpreter->SetMicroExternalContext(&source) == kTfLiteOk &&
         interpreter->output(0)->bytes == MCUFORMER_OUTPUT_BYTES;
}

extern "C" bool mcuformer_run_rows(mcuformer_read_rows read, void* context, int8_t* output) {
  source = {read, context};
  TfLiteTensor* input = interpreter->input(0);
  // A shorter input is room for a strip; the operator itself asks for the rows.
  if (input->bytes == MCUFORMER_IMAGE_BYTES &&
      !read(context, 0, MCUFORMER_IMAGE_HEIGHT, input->data.int8)) {
    return false;
  }
  if (interpreter->Invoke() != kTfLiteOk) return false;
  std::memcpy(output, interpreter->output(0)->data.int8, MCUFORMER_OUTPUT_BYTES);
  return true;
}

extern "C" bool mcuformer_run(const int8_t* input, int8_t* output) {
  const auto copy = [](void* image, int row, int count, int8_t* pixels) {
    constexpr int kRow = MCUFORMER_IMAGE_WIDTH * MCUFORMER_IMAGE_CHANNELS;
    std::memcpy(pixels, *static_cast<const int8_t**>(image) + row * kRow,
                static_cast<size_t>(count) * kRow);
    return true;
  };
  return mcuformer_run_rows(copy, &input, output);
}

// In place of tensorflow/lite/micro/debug_log.cc: messages go where the application's go, with
// their arguments left out, so that printf is not linked.
extern "C" void DebugLog(const char* format, va_list) { mcuformer::IoWrite(format); }
extern "C" int DebugVsnprintf(char* buffer, size_t size, const char* format, va_list) {
  if (size > 0) {
    std::strncpy(buffer, format, size - 1);
    buffer[size - 1] = '\0';
  }
  return static_cast<int>(std::strlen(format));
}
