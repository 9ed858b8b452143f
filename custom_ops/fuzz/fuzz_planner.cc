// Feeds the planner a plan's record, its checksum made right, and the buffers that TFLM would ask
// places for; and the reader of metadata the same bytes as a model.
//
// It stops the process where a plan that is followed lays a buffer outside its region, or scratch
// over what is alive.
//
//   arena in units of 256 bytes, number of further buffers; for each of these size in 16 bits,
//   first and last operator; the record.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "tflm/arena_planner.h"
#include "tflm/model_metadata.h"

void McuformerFuzzLog(const char*, ...) {}

namespace {

constexpr char kName[] = "McuformerMemoryPlan";
constexpr size_t kHeader = 16, kEntry = 16, kChecksumAt = 12;
constexpr size_t kArenaUnit = 256, kPlanningBytes = 1 << 12;
constexpr int kMaxFurther = 16;

uint32_t Checksum(const std::vector<uint8_t>& record) {
  uint32_t crc = ~0u;
  for (size_t i = 0; i < record.size(); ++i) {
    if (i >= kChecksumAt && i < kHeader) continue;
    crc ^= record[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1u)));
  }
  return ~crc;
}

// A model that has nothing but the record as its metadata.
std::vector<uint8_t> Model(const std::vector<uint8_t>& record) {
  std::vector<uint8_t> bytes;
  const auto word = [&bytes](uint32_t value) {
    for (int shift = 0; shift < 32; shift += 8)
      bytes.push_back(static_cast<uint8_t>(value >> shift));
  };
  const auto half = [&bytes](uint16_t value) {
    bytes.push_back(static_cast<uint8_t>(value));
    bytes.push_back(static_cast<uint8_t>(value >> 8));
  };
  const auto text = [&bytes, &word](const void* data, size_t size) {
    word(static_cast<uint32_t>(size));
    const auto* start = static_cast<const uint8_t*>(data);
    bytes.insert(bytes.end(), start, start + size);
    while (bytes.size() % 4 != 0) bytes.push_back(0);
  };
  word(32);  // to the root
  word(0);   // identifier
  // Its table of fields, 18 bytes: buffers is the fifth, metadata the seventh.
  half(18), half(12), half(0), half(0), half(0), half(0), half(4), half(0), half(8), half(0);
  word(0);
  word(24);                            // 32: the root, 24 behind its table
  word(8);                             // 36: buffers, at 44
  word(24);                            // 40: metadata, at 64
  word(1), word(12);                   // 44: one buffer, at 60
  half(6), half(8), half(4), half(0);  // 52: a buffer's fields
  word(8);                             // 60: the buffer, 8 behind its fields
  // 64: overlaid below
  bytes.resize(64);
  // The buffer's data follow what is of fixed size.
  const size_t name_words = (sizeof(kName) - 1 + 3) / 4;
  // buffer: field 0 at 64
  const size_t metadata_at = 68, entry_table = metadata_at + 8, entry = entry_table + 8;
  const size_t name_at = entry + 12, data_at = name_at + 4 + 4 * name_words;
  word(static_cast<uint32_t>(data_at - 64));                        // 64: the buffer's data
  word(1), word(static_cast<uint32_t>(entry - (metadata_at + 4)));  // 68: one entry
  half(8), half(12), half(4), half(8);                              // its fields: name, buffer
  word(8), word(static_cast<uint32_t>(name_at - (entry + 4))), word(0);
  text(kName, sizeof(kName) - 1);
  text(record.data(), record.size());
  bytes[40] = static_cast<uint8_t>(metadata_at - 40);
  return bytes;
}

struct Buffer {
  int64_t start, end;
  int first, last;
};

bool Clash(const Buffer& one, const Buffer& other) {
  return one.first <= other.last && other.first <= one.last && one.start < other.end &&
         other.start < one.end;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const uint8_t* found = nullptr;
  size_t length = 0;
  // A copy of exactly this size, so that a sanitizer sees any byte read beyond it.
  std::vector<uint8_t> input(data, data + size);
  mcuformer::FindModelMetadata(input.data(), size, kName, &found, &length);
  if (size < 2) return 0;
  const size_t arena_size = kArenaUnit * data[0];
  const size_t further = data[1] % (kMaxFurther + 1);
  if (size < 2 + 4 * further) return 0;
  const uint8_t* asked = data + 2;
  std::vector<uint8_t> record(data + 2 + 4 * further, data + size);
  if (record.size() >= kHeader) {
    const uint32_t checksum = Checksum(record);
    std::memcpy(record.data() + kChecksumAt, &checksum, sizeof(checksum));
  }
  const std::vector<uint8_t> model = Model(record);
  if (!record.empty() &&
      (!mcuformer::FindModelMetadata(model.data(), model.size(), kName, &found, &length) ||
       length != record.size())) {
    __builtin_trap();
  }

  std::unique_ptr<uint8_t, void (*)(void*)> arena(
      static_cast<uint8_t*>(std::aligned_alloc(kArenaUnit, arena_size + kArenaUnit)), std::free);
  mcuformer::ArenaPlanner planner(model.data(), model.size(), arena.get(), arena_size);
  std::vector<uint8_t> planning(kPlanningBytes);
  const bool sound = planner.Init(planning.data(), kPlanningBytes) == kTfLiteOk;
  if (!sound != (planner.error()[0] != '\0')) __builtin_trap();  // refused without a reason
  std::vector<Buffer> placed;
  bool followed = true;
  size_t tensors = 0;
  const auto add = [&](int bytes, int first, int last, const int* offline) {
    const TfLiteStatus status = offline == nullptr
                                    ? planner.AddBuffer(bytes, first, last)
                                    : planner.AddBuffer(bytes, first, last, *offline);
    followed = followed && status == kTfLiteOk;
    if (followed) placed.push_back({0, bytes, first, last});
  };
  if (sound) tensors = record[8] | record[9] << 8;
  for (size_t at = kHeader; sound && at + kEntry <= record.size(); at += kEntry) {
    int32_t bytes = 0, offset = 0;
    uint16_t first = 0, last = 0;
    std::memcpy(&bytes, record.data() + at, 4);
    std::memcpy(&offset, record.data() + at + 4, 4);
    std::memcpy(&first, record.data() + at + 8, 2);
    std::memcpy(&last, record.data() + at + 10, 2);
    const bool tensor = (at - kHeader) / kEntry < tensors;
    add(bytes, first, last, tensor ? &offset : nullptr);
  }
  for (size_t i = 0; i < further; ++i) {
    const uint8_t* one = asked + 4 * i;
    add(one[0] | one[1] << 8, one[2], one[2] + one[3] % 4, nullptr);
  }
  if (!sound && !placed.empty()) __builtin_trap();  // a refused plan is followed
  if (!sound || !followed) return 0;
  for (size_t i = 0; i < placed.size(); ++i) {
    int offset = 0;
    if (planner.GetOffsetForBuffer(static_cast<int>(i), &offset) != kTfLiteOk) return 0;
    placed[i].start = offset;
    placed[i].end += offset;
    if (offset < 0 || placed[i].end > static_cast<int64_t>(planner.GetMaximumMemorySize())) {
      __builtin_trap();  // outside what the planner says that it takes
    }
    if (i < tensors && placed[i].end > static_cast<int64_t>(arena_size)) __builtin_trap();
    for (size_t j = 0; j < i && i >= tensors; ++j) {
      if (Clash(placed[i], placed[j])) __builtin_trap();  // scratch over what is alive
    }
  }
  planner.PrintMemoryPlan();
  return 0;
}
