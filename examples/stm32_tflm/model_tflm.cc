// The model in TFLM's interpreter, behind the interface of the firmware without one
// (mcuformer.h): the application, start-up and guards around it are the same.
#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <new>

#include "app/io.h"
#include "app/text.h"
#include "checksum.h"
#include "mcuformer.h"
#include "tensorflow/lite/micro/arena_allocator/single_arena_buffer_allocator.h"
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

// TFLM makes its first objects in the arena without a look at whether they found room.
static_assert(sizeof(arena) >
                  sizeof(tflite::SingleArenaBufferAllocator) + sizeof(tflite::MicroAllocator) + 64,
              "MCUFORMER_ARENA_BYTES is too small for TFLM's own objects");

using Resolver = tflite::MicroMutableOpResolver<mcuformer::kNumOperators>;

// Made in place by Open: none has a cheap empty state.
alignas(Resolver) uint8_t resolver_memory[sizeof(Resolver)];
alignas(mcuformer::ArenaPlanner) uint8_t planner_memory[sizeof(mcuformer::ArenaPlanner)];
alignas(tflite::MicroInterpreter) uint8_t interpreter_memory[sizeof(tflite::MicroInterpreter)];

tflite::MicroInterpreter* interpreter = nullptr;  // null until the model can run
mcuformer::Text reason;
const char* error = "mcuformer_init was not called";

// The picture that is being read.
struct {
  mcuformer_read_rows read;
  void* context;
  bool ended;
} picture;

bool ReadRows(void*, int row, int rows, int8_t* pixels) {
  picture.ended = !picture.read(picture.context, row, rows, pixels);
  return !picture.ended;
}

mcuformer::InputSource source = {ReadRows, nullptr};

const char* InArena(const char* what, const char* why) {
  reason = mcuformer::Text();
  reason.Add(what);
  reason.Add(why);
  reason.Add("; the arena has ");
  reason.AddNumber(sizeof(arena));
  reason.Add(" bytes");
  return reason.text();
}

// Why the model cannot run, or an empty text.
const char* Open() {
  const size_t size = static_cast<size_t>(mcuformer_model_end - mcuformer_model);
  // TFLM follows every offset in the file unchecked.
  flatbuffers::Verifier verifier(mcuformer_model, size);
  if (!tflite::VerifyModelBuffer(verifier)) return "the model is damaged or cut short";
  if (size != MCUFORMER_MODEL_BYTES ||
      mcuformer::Checksum(mcuformer_model, size) != MCUFORMER_MODEL_CHECKSUM) {
    return "MCUFORMER_MODEL is not the model that MCUFORMER_FIRMWARE was written for";
  }
  auto* resolver = new (resolver_memory) Resolver;
  if (mcuformer::RegisterMcuformerOps(resolver) != kTfLiteOk) {
    return "TFLM does not take the operators";
  }
  auto* planner =
      new (planner_memory) mcuformer::ArenaPlanner(mcuformer_model, size, arena, sizeof(arena));
  auto* allocator = tflite::MicroAllocator::Create(arena, sizeof(arena), planner);
  if (allocator == nullptr) return InArena("TFLM has no room for its allocator", "");
  auto* opened = new (interpreter_memory)
      tflite::MicroInterpreter(tflite::GetModel(mcuformer_model), *resolver, allocator);
  if (opened->AllocateTensors() != kTfLiteOk) {
    return planner->error()[0] != '\0' ? InArena("the memory plan ", planner->error())
                                       : InArena("TFLM cannot allocate, as its lines say", "");
  }
  if (opened->SetMicroExternalContext(&source) != kTfLiteOk) {
    return "TFLM does not take the image's source";
  }
  interpreter = opened;
  return "";
}

}  // namespace

extern "C" bool mcuformer_init() {
  interpreter = nullptr;
  error = Open();
  return interpreter != nullptr;
}

extern "C" const char* mcuformer_error() { return error; }

extern "C" bool mcuformer_run_rows(mcuformer_read_rows read, void* context, int8_t* output) {
  if (interpreter == nullptr) return false;
  error = "";
  picture = {read, context, false};
  TfLiteTensor* input = interpreter->input(0);
  // A shorter input is room for a strip; the operator itself asks for the rows.
  if (input->bytes == MCUFORMER_IMAGE_BYTES &&
      !ReadRows(nullptr, 0, MCUFORMER_IMAGE_HEIGHT, input->data.int8)) {
    return false;
  }
  if (interpreter->Invoke() != kTfLiteOk) {
    if (!picture.ended) error = "an operator failed, as TFLM's lines say";
    return false;
  }
  for (size_t i = 0; i < interpreter->outputs_size(); ++i) {
    const TfLiteTensor* result = interpreter->output(i);
    std::memcpy(output, result->data.int8, result->bytes);
    output += result->bytes;
  }
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

// In place of tensorflow/lite/micro/debug_log.cc: lines go where the application's go. TFLM gives
// a line in pieces and ends it with "\r\n", after a "\n" of its own in some.
extern "C" void DebugLog(const char* format, va_list arguments) {
  static char line[160];
  static size_t used = 0;
  // The end of the pictures is no failure to be told, though it ends the operator that reads.
  if (picture.ended) return;
  const int added = std::vsnprintf(line + used, sizeof(line) - used, format, arguments);
  if (added > 0) used = std::strlen(line);
  if (std::strchr(line, '\n') == nullptr && used + 1 < sizeof(line)) return;
  line[std::strcspn(line, "\r\n")] = '\0';
  if (line[0] != '\0') mcuformer::IoWrite(line);
  line[0] = '\0';
  used = 0;
}

extern "C" int DebugVsnprintf(char* buffer, size_t size, const char* format, va_list arguments) {
  return std::vsnprintf(buffer, size, format, arguments);
}

// There is no heap; printf into a buffer never asks for one.
extern "C" void* _sbrk(std::ptrdiff_t) { return reinterpret_cast<void*>(-1); }
