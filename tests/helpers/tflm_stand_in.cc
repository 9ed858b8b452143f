// TFLM's behaviour as model_tflm.cc meets it, on the host: it fails where the environment variable
// FAULT names a step, writes what is called of it, and asks the real ArenaPlanner for the plan.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "app/io.h"
#include "board/board.h"
#include "mcuformer.h"
#include "tflm/input_source.h"
#include "tflm_declared.h"

namespace {

bool Faulty(const char* step) {
  const char* fault = std::getenv("FAULT");
  return fault != nullptr && std::strcmp(fault, step) == 0;
}

TfLiteStatus Step(const char* step) {
  mcuformer::IoWrite((std::string("call: ") + step).c_str());
  return Faulty(step) ? kTfLiteError : kTfLiteOk;
}

void Piece(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  DebugLog(format, arguments);
  va_end(arguments);
}

uint8_t* arena;
size_t arena_size;
mcuformer::MicroMemoryPlanner* planner;
const mcuformer::InputSource* source;
// The image in so many strips where the environment variable STRIPS is set.
constexpr int kStrips = 4;
constexpr int kPictures = 2;
int8_t image[MCUFORMER_IMAGE_BYTES], logits[MCUFORMER_OUTPUT_BYTES];
TfLiteTensor input_tensor, output_tensor;

}  // namespace

namespace flatbuffers {

Verifier::Verifier(const uint8_t*, size_t) {}

}  // namespace flatbuffers

namespace tflite {

bool VerifyModelBuffer(flatbuffers::Verifier&) { return Step("VerifyModelBuffer") == kTfLiteOk; }

const Model* GetModel(const void* buffer) { return static_cast<const Model*>(buffer); }

MicroAllocator* MicroAllocator::Create(uint8_t* memory, size_t size,
                                       mcuformer::MicroMemoryPlanner* given) {
  static MicroAllocator allocator;
  arena = memory;
  arena_size = size;
  planner = given;
  return Step("Create") == kTfLiteOk ? &allocator : nullptr;
}

MicroInterpreter::MicroInterpreter(const Model*, const MicroOpResolver&, MicroAllocator*) {}

TfLiteStatus MicroInterpreter::AllocateTensors() {
  if (Step("AllocateTensors") != kTfLiteOk) {
    Piece("Failed to allocate %s memory. Requested: %u, available %u, missing: %u\n", "tail", 20U,
          4294967292U, 24U);
    Piece("\r\n");
    return kTfLiteError;
  }
  // TFLM hears of it from AddBuffer, which then fails.
  return planner->Init(arena, static_cast<int>(arena_size));
}

TfLiteStatus MicroInterpreter::SetMicroExternalContext(void* context) {
  source = static_cast<const mcuformer::InputSource*>(context);
  return Step("SetMicroExternalContext");
}

TfLiteStatus MicroInterpreter::Invoke() {
  bool done = !Faulty("Invoke");
  for (int strip = 0; input_tensor.bytes < sizeof(image) && done && strip < kStrips; ++strip) {
    constexpr int kRows = MCUFORMER_IMAGE_HEIGHT / kStrips;
    done = source->read(source->context, strip * kRows, kRows, image);
  }
  logits[0] = image[0];
  if (done) return kTfLiteOk;
  Piece("Node %s (number %d) failed to invoke with status %d", "McuformerPatchEmbed", 0, 1);
  Piece("\r\n");
  return kTfLiteError;
}

TfLiteTensor* MicroInterpreter::input(size_t) {
  input_tensor.data.int8 = image;
  input_tensor.bytes = std::getenv("STRIPS") != nullptr ? sizeof(image) / kStrips : sizeof(image);
  return &input_tensor;
}

size_t MicroInterpreter::outputs_size() const { return 1; }
TfLiteTensor* MicroInterpreter::output(size_t) {
  output_tensor.data.int8 = logits;
  output_tensor.bytes = sizeof(logits);
  return &output_tensor;
}

}  // namespace tflite

namespace mcuformer {

template <typename Resolver>
TfLiteStatus RegisterMcuformerOps(Resolver*) {
  return Step("RegisterMcuformerOps");
}
template TfLiteStatus RegisterMcuformerOps(tflite::MicroMutableOpResolver<kNumOperators>*);

bool IoBegin() { return true; }

bool IoReadRows(void*, int row, int rows, int8_t* pixels) {
  static int pictures = 0;
  if (row == 0 && pictures++ == kPictures) return false;
  std::memset(pixels, pictures,
              static_cast<size_t>(rows) * MCUFORMER_IMAGE_WIDTH * MCUFORMER_IMAGE_CHANNELS);
  return true;
}

bool IoWriteOutput(const int8_t* output, int) {
  IoWrite(("logits of picture " + std::to_string(output[0])).c_str());
  static int outputs = 0;
  return ++outputs <= kPictures;
}

void IoWrite(const char* text) { std::puts(text); }

size_t StackHighWater() { return 0; }
size_t StackBytes() { return 0; }

}  // namespace mcuformer
