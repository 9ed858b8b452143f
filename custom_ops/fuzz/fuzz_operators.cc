// Makes a node of the input's bytes, for any of our operators, and takes it through Init, Prepare
// and, where Prepare accepts it and it is small, Eval, as TFLM would. Each buffer is an
// allocation of its own, so that a sanitizer sees whatever is touched beside it.
//
// It stops the process where an operator refuses a node without saying why, writes into one of
// its inputs, or gives another output when its scratch held something else before.
// tests/helpers/fuzz_seeds.py writes the same bytes for the nodes of a model.
//
//   operator, flags, number of inputs; for each input and the output a tensor: kind, rank,
//   16 bits a dimension; then the options: their number, for each a length, a name, 32 bits.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/dot.h"
#include "tflm/register.h"

namespace {

using mcuformer::kNumOperators;

enum NodeFlags {
  kNoMemory = 1,
  kNoScratch = 2,
  kNoOutput = 4,
  kRawOptions = 8,
  // The upper four bits: 0, one more than the input that the output is laid over, or which list of
  // the node a model has left out.
  kOverlapShift = 4,
  kNoOutputList = 14,
  kNoInputList = 15,
};
enum TensorFlags { kTypeMask = 7, kAbsent = 8, kFillShift = 4, kFillMask = 7, kConstant = 128 };
enum Fill { kZeros, kSmall, kBytes, kPositive, kUnits, kAnyUnits, kRising };

constexpr int kFloat32 = 1, kUInt8 = 3;
constexpr int kTypes[] = {kTfLiteInt8, kTfLiteInt16, kTfLiteInt32, kTfLiteUInt16, kFloat32, kUInt8};
// What a dimension of 0xFF00 and more stands for.
constexpr int kOddSizes[] = {0, -1, 65536, 65537, 1 << 29, 1 << 30, INT32_MAX, INT32_MIN};
constexpr int kFirstOddSize = 0xFF00;

constexpr int kMaxInputs = 12;
constexpr int kMaxRank = 5;
constexpr int kMaxOptions = 24;
constexpr int kStepBytes = 8;  // of packed weights
constexpr int64_t kMaxConstantBytes = 1 << 20;
constexpr int64_t kMaxEvalElements = 1 << 14;
constexpr int64_t kMaxEvalOutput = 1 << 12;
constexpr size_t kArena = 1 << 20;
// What scratch holds before the two runs that are compared.
constexpr int kStale[] = {0xA5, 0x3C};

int messages;

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  int Byte() { return size_ == 0 ? 0 : (--size_, *data_++); }
  int Short() {
    const int low = Byte();
    return low | Byte() << 8;
  }
  int32_t Word() {
    const uint32_t low = static_cast<uint32_t>(Short());
    return static_cast<int32_t>(low | static_cast<uint32_t>(Short()) << 16);
  }
  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  const uint8_t* data_;
  size_t size_;
};

class Numbers {
 public:
  explicit Numbers(uint32_t seed) : state_(seed * 2654435761u + 1) {}
  uint32_t Next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    return state_ ^= state_ << 5;
  }

 private:
  uint32_t state_;
};

size_t SizeOf(int type) {
  switch (type) {
    case kTfLiteInt8:
    case kUInt8:
      return 1;
    case kTfLiteInt16:
    case kTfLiteUInt16:
      return 2;
    default:
      return 4;
  }
}

struct FreeMemory {
  void operator()(void* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<void, FreeMemory>;

struct Tensor {
  TfLiteEvalTensor eval = {};
  int dims[1 + kMaxRank] = {};
  bool absent = false, constant = false, packed = false;
  int fill = kZeros;
  int64_t elements = 1;
  Memory memory;
  std::vector<char> before;

  char* data() const { return static_cast<char*>(eval.data); }
  size_t bytes() const { return static_cast<size_t>(elements) * SizeOf(eval.type); }

  void Read(Bytes* from) {
    const int kind = from->Byte();
    eval.type =
        static_cast<TfLiteType>(kTypes[(kind & kTypeMask) % (sizeof(kTypes) / sizeof(kTypes[0]))]);
    absent = (kind & kAbsent) != 0;
    constant = (kind & kConstant) != 0;
    fill = (kind >> kFillShift) & kFillMask;
    dims[0] = from->Byte() % (kMaxRank + 1);
    for (int i = 1; i <= dims[0]; ++i) {
      const int size = from->Short();
      dims[i] = size < kFirstOddSize ? size : kOddSizes[size & 7];
      elements = dims[i] < 0 ? 0 : elements * dims[i];
      if (elements > INT32_MAX) elements = INT32_MAX;
    }
    eval.dims = reinterpret_cast<TfLiteIntArray*>(dims);
  }

  // Gives it memory of its own, filled.
  void Allocate(uint32_t seed) {
    memory.reset(std::malloc(bytes()));
    Numbers numbers(seed);
    for (int64_t i = 0; i < elements; ++i) Store(i, Value(i, &numbers));
    eval.data = memory.get();
    Keep();
  }

  void Keep() {
    before.assign(static_cast<char*>(eval.data), static_cast<char*>(eval.data) + bytes());
  }

  // Zeros the last of `steps` steps of each two units, where packed weights have their padding.
  void ClearLastSteps(int steps) {
    char* data = static_cast<char*>(memory.get());
    const size_t stride = size_t{kStepBytes} * steps;
    for (size_t end = stride; end <= bytes(); end += stride) {
      std::memset(data + end - kStepBytes, 0, kStepBytes);
    }
    Keep();
  }

  uint32_t Value(int64_t i, Numbers* numbers) const {
    const uint32_t number = numbers->Next();
    switch (fill) {
      case kZeros:
        return 0;
      case kSmall:
        return number % 41 - 20;
      case kPositive:
        return number & 0x7FFF7FFF;
      case kUnits:  // bias, multiplier, shift of what a layer is like
        return i % 3 == 0 ? number % 65536 - 32768
                          : (i % 3 == 1 ? (number & 0x3FFFFFFF) | 0x40000000 : 0 - number % 16);
      case kAnyUnits:
        return i % 3 == 0 ? number : (i % 3 == 1 ? number & 0x7FFFFFFF : number % 63 - 31);
      case kRising:  // to the greatest, as a table of exponentials
        return INT32_MAX >> (elements - 1 - i < 248 ? (elements - 1 - i) / 8 : 31);
      default:
        return number;
    }
  }

  void Store(int64_t i, uint32_t value) {
    // Little end first, like the cores.
    const size_t size = SizeOf(eval.type);
    std::memcpy(static_cast<char*>(memory.get()) + i * size, &value, size);
  }
};

std::vector<char> ReadOptions(Bytes* from, bool raw) {
  if (raw) {
    const char* data = reinterpret_cast<const char*>(from->data());
    return std::vector<char>(data, data + from->size());
  }
  // A flexbuffer: the keys, their offsets, the map's header and values in 32 bits, types, root.
  const int count = from->Byte() % (kMaxOptions + 1);
  std::vector<char> bytes;
  std::vector<int32_t> keys, values;
  for (int i = 0; i < count; ++i) {
    keys.push_back(static_cast<int32_t>(bytes.size()));
    for (int length = from->Byte() % 32; length > 0; --length) {
      bytes.push_back(static_cast<char>(from->Byte()));
    }
    bytes.push_back('\0');
    values.push_back(from->Word());
  }
  const auto append = [&bytes](int32_t word) {
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(word >> shift));
  };
  while (bytes.size() % 4 != 0) bytes.push_back('\0');
  append(count);
  const int32_t first = static_cast<int32_t>(bytes.size());
  for (int i = 0; i < count; ++i) append(first + 4 * i - keys[i]);
  append(static_cast<int32_t>(bytes.size()) - first);
  append(4);
  append(count);
  const int32_t map = static_cast<int32_t>(bytes.size());
  for (int32_t value : values) append(value);
  constexpr char kInt32Type = 1 << 2 | 2, kMapType = 9 << 2 | 2, kWordBytes = 4;
  for (int i = 0; i < count; ++i) bytes.push_back(kInt32Type);
  append(static_cast<int32_t>(bytes.size()) - map);
  bytes.push_back(kMapType);
  bytes.push_back(kWordBytes);
  return bytes;
}

// Zeros what may be padding of packed weights, of 8 bits or 4: int8 with int32 constants behind
// them. Each layer is as wide as the one before has units, the first as the operator's input;
// attention has the second layer of a pair before the first.
void ClearPadding(bool attention, std::vector<Tensor>* tensors) {
  std::vector<size_t> layers;
  for (size_t i = 1; i + 2 < tensors->size(); ++i) {
    Tensor& weights = (*tensors)[i];
    const Tensor& constants = (*tensors)[i + 1];
    weights.packed = !weights.absent && weights.eval.type == kTfLiteInt8 && !constants.absent &&
                     constants.eval.type == kTfLiteInt32;
    if (weights.packed) layers.push_back(i);
  }
  if (attention) std::reverse(layers.begin(), layers.end());
  const Tensor& input = tensors->front();
  int64_t width = input.dims[input.dims[0]];
  for (size_t i : layers) {
    if (width <= 0 || width > kMaxEvalElements) return;
    for (int step : {mcuformer::kStepOfInt8, mcuformer::kStepOfInt4}) {
      (*tensors)[i].ClearLastSteps(mcuformer::RoundUp(static_cast<int>(width), step) / step);
    }
    width = (*tensors)[i + 1].elements / 3;
  }
}

}  // namespace

// The part of TFLM that adapters call.
struct TfLiteContext {
  bool no_memory, no_scratch;
  std::vector<Tensor> tensors;
  std::vector<Memory> persistent;
  std::vector<size_t> scratch_sizes;
  std::vector<Memory> scratch;
};

void McuformerFuzzLog(const char*, ...) { ++messages; }

// tflm/input_source.cc
extern "C" void McuformerSetInputSource(bool (*read)(void*, int, int, int8_t*), void* context);

namespace {

// Delivers rows of an image whose first tensor is a strip.
bool ReadRows(void* context, int row, int rows, int8_t* pixels) {
  Tensor& strip = static_cast<TfLiteContext*>(context)->tensors.front();
  const int* shape = strip.dims + 1;
  std::memset(pixels, row + 1, static_cast<size_t>(rows) * shape[2] * shape[3]);
  strip.Keep();
  return true;
}

}  // namespace

namespace mcuformer {
namespace tflm {

ContextFunctions context_functions = {
    [](TfLiteContext* context, size_t size) -> void* {
      if (context->no_memory || size > kArena) return nullptr;
      context->persistent.emplace_back(std::malloc(size));
      return context->persistent.back().get();
    },
    [](TfLiteContext* context, size_t size, int* index) {
      if (context->no_scratch || size > kArena) {
        ++messages;  // TFLM says so itself
        return kTfLiteError;
      }
      *index = static_cast<int>(context->scratch_sizes.size());
      context->scratch_sizes.push_back(size);
      return kTfLiteOk;
    },
    [](TfLiteContext* context, int index) { return context->scratch.at(index).get(); },
    [](const TfLiteContext* context, int index) {
      return const_cast<TfLiteEvalTensor*>(&context->tensors.at(index).eval);
    },
};

}  // namespace tflm
}  // namespace mcuformer

// How often each operator's Eval ran, for the replay.
int operator_runs[kNumOperators];

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes bytes(data, size);
  const int which = bytes.Byte() % kNumOperators;
  const int flags = bytes.Byte();
  const int inputs = bytes.Byte() % (kMaxInputs + 1);
  TfLiteContext context = {};
  context.no_memory = (flags & kNoMemory) != 0;
  context.no_scratch = (flags & kNoScratch) != 0;
  context.tensors.resize(inputs + 1);
  int input_array[1 + kMaxInputs] = {inputs};
  int output_array[2] = {(flags & kNoOutput) != 0 ? 0 : 1, inputs};
  bool small = true;
  for (int i = 0; i <= inputs; ++i) {
    Tensor& tensor = context.tensors[i];
    tensor.Read(&bytes);
    if (i < inputs) input_array[1 + i] = tensor.absent ? -1 : i;
    const bool used = i == inputs || !tensor.absent;
    const int64_t most = tensor.constant && i < inputs ? kMaxEvalElements : kMaxEvalOutput;
    small &= !used || tensor.elements <= most;
    if (used && tensor.constant && i < inputs &&
        tensor.bytes() <= static_cast<size_t>(kMaxConstantBytes)) {
      tensor.Allocate(i);
    }
  }
  const std::vector<char> content = ReadOptions(&bytes, (flags & kRawOptions) != 0);
  Memory options(std::malloc(content.size()));
  if (!content.empty()) std::memcpy(options.get(), content.data(), content.size());

  TFLMRegistration registrations[kNumOperators];
  mcuformer::AllRegistrations(registrations);
  const TFLMRegistration& operation = registrations[which];
  TfLiteNode node = {};
  const int left_out = flags >> kOverlapShift;
  if (left_out != kNoInputList) node.inputs = reinterpret_cast<TfLiteIntArray*>(input_array);
  if (left_out != kNoOutputList) node.outputs = reinterpret_cast<TfLiteIntArray*>(output_array);
  node.custom_initial_data = options.get();
  node.custom_initial_data_size = static_cast<int>(content.size());
  if (operation.init != nullptr) {
    node.user_data =
        operation.init(&context, static_cast<const char*>(options.get()), content.size());
  }
  messages = 0;
  if (operation.prepare(&context, &node) != kTfLiteOk) {
    if (messages == 0) __builtin_trap();  // refused without a reason
    return 0;
  }
  if (!small || output_array[0] == 0) return 0;

  size_t held = context.tensors[inputs].bytes();  // by the output's memory
  const int overlapped = (flags >> kOverlapShift) - 1;
  Tensor& output = context.tensors[inputs];
  for (int i = 0; i <= inputs; ++i) {
    Tensor& tensor = context.tensors[i];
    if (tensor.eval.data != nullptr || (i < inputs && tensor.absent)) continue;
    tensor.Allocate(i);
  }
  ClearPadding(std::strcmp(operation.custom_name, "McuformerAttention") == 0, &context.tensors);
  if (overlapped >= 0 && overlapped < inputs && !context.tensors[overlapped].absent &&
      !context.tensors[overlapped].constant && !context.tensors[overlapped].packed) {
    Tensor& input = context.tensors[overlapped];
    held = input.bytes() > held ? input.bytes() : held;
    output.memory.reset(std::malloc(held));
    std::memset(output.memory.get(), 0, held);
    std::memcpy(output.memory.get(), input.before.data(), input.before.size());
    output.eval.data = input.eval.data = output.memory.get();
  }
  for (size_t bytes_of_one : context.scratch_sizes) {
    context.scratch.emplace_back(std::malloc(bytes_of_one));
  }
  McuformerSetInputSource(ReadRows, &context);
  const std::vector<char> start(output.data(), output.data() + held);
  std::vector<char> first;
  bool ran = true;
  for (int stale : kStale) {
    std::memcpy(output.data(), start.data(), held);
    for (size_t i = 0; i < context.scratch.size(); ++i) {
      std::memset(context.scratch[i].get(), stale, context.scratch_sizes[i]);
    }
    ran = operation.invoke(&context, &node) == kTfLiteOk && ran;
    if (first.empty()) first.assign(output.data(), output.data() + held);
  }
  if (ran) ++operator_runs[which];
  if (ran && std::memcmp(output.data(), first.data(), held) != 0) {
    __builtin_trap();  // read scratch that it had not written
  }
  for (int i = 0; i < inputs; ++i) {
    const Tensor& tensor = context.tensors[i];
    if (tensor.absent || tensor.eval.data == output.eval.data || tensor.before.empty()) continue;
    if (std::memcmp(tensor.eval.data, tensor.before.data(), tensor.before.size()) != 0) {
      __builtin_trap();  // wrote into an input
    }
  }
  return 0;
}
