#include "tflm/arena_planner.h"

#include <cstring>

#include "tflm/model_metadata.h"

namespace mcuformer {
namespace {

constexpr char kName[] = "McuformerMemoryPlan";

// The record's header, little-endian as every target is (memory_plan.py).
struct Header {
  uint32_t magic;
  uint16_t version;
  uint16_t num_buffers;
  uint16_t num_tensors;
  uint16_t num_regions;
  uint32_t checksum;
};
static_assert(sizeof(Header) == 16, "as it is written by memory_plan.py");

constexpr uint32_t kMagic = 0x4E4C504D;
constexpr uint16_t kVersion = 1;
constexpr uint16_t kNone = 0xFFFF;

uint32_t Crc32(uint32_t crc, const uint8_t* data, size_t size) {
  crc = ~crc;
  for (size_t i = 0; i < size; ++i) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1u)));
  }
  return ~crc;
}

bool InTime(int first, int last, int other_first, int other_last) {
  return first <= other_last && other_first <= last;
}

uint8_t* AlignUp(uint8_t* pointer) {
  const uintptr_t mask = ArenaPlanner::kAlignment - 1;
  return pointer + ((~reinterpret_cast<uintptr_t>(pointer) + 1) & mask);
}

}  // namespace

ArenaPlanner::ArenaPlanner(const void* model, size_t model_size, uint8_t* arena,
                           size_t arena_size) {
  FindModelMetadata(model, model_size, kName, &record_, &record_size_);
  AddRegion(arena, arena_size);
}

bool ArenaPlanner::AddRegion(uint8_t* start, size_t size) {
  if (num_regions_ == kMaxRegions) return false;
  uint8_t* aligned = AlignUp(start);
  const size_t lost = static_cast<size_t>(aligned - start);
  regions_[num_regions_++] = {aligned, size > lost ? size - lost : 0};
  return true;
}

uint8_t* ArenaPlanner::Address(int buffer_index) const {
  if (buffer_index < 0 || buffer_index >= num_tensors_) return nullptr;
  const Buffer buffer = Planned(buffer_index);
  return regions_[buffer.region].start + buffer.offset;
}

size_t ArenaPlanner::RegionBytes(int region) const {
  size_t bytes = region == 0 ? head_ : 0;
  for (int i = 0; i < num_planned_; ++i) {
    const Buffer buffer = Planned(i);
    const size_t end = static_cast<size_t>(buffer.offset) + static_cast<size_t>(buffer.size);
    if (buffer.region == region && end > bytes) bytes = end;
  }
  return bytes;
}

TfLiteStatus ArenaPlanner::Init(unsigned char* scratch_buffer, int scratch_buffer_size) {
  error_ = "";
  count_ = 0;
  head_ = 0;
  num_planned_ = num_tensors_ = 0;
  scratch_ = reinterpret_cast<Buffer*>(scratch_buffer);
  scratch_capacity_ = scratch_buffer_size / static_cast<int>(sizeof(Buffer));
  const TfLiteStatus status = CheckPlan();
  // TFLM does not look at what Init returns; AddBuffer tells it.
  if (status != kTfLiteOk) num_planned_ = num_tensors_ = 0;
  next_planned_ = num_tensors_;
  return status;
}

TfLiteStatus ArenaPlanner::AddBuffer(int size, int first, int last) {
  if (error_[0] != '\0') return kTfLiteError;
  if (count_ < num_tensors_) return AddTensor(size, first, last, nullptr);
  return AddScratch(size, first, last);
}

TfLiteStatus ArenaPlanner::AddBuffer(int size, int first, int last, int offline_offset) {
  if (error_[0] != '\0') return kTfLiteError;
  if (count_ >= num_tensors_) return Refuse("is for a model of fewer tensors");
  return AddTensor(size, first, last, &offline_offset);
}

TfLiteStatus ArenaPlanner::GetOffsetForBuffer(int buffer_index, int* offset) {
  if (error_[0] != '\0') return kTfLiteError;
  if (count_ < num_tensors_) return Refuse("is for a model of more tensors");
  if (buffer_index < 0 || buffer_index >= count_) return kTfLiteError;
  const Buffer buffer =
      buffer_index < num_tensors_ ? Planned(buffer_index) : scratch_[buffer_index - num_tensors_];
  const int64_t from_arena = static_cast<int64_t>(
      reinterpret_cast<intptr_t>(regions_[buffer.region].start) -
      reinterpret_cast<intptr_t>(regions_[0].start) + static_cast<intptr_t>(buffer.offset));
  if (from_arena < INT32_MIN || from_arena > INT32_MAX) {
    return Refuse("has regions too far apart for TFLM's 32-bit offsets");
  }
  *offset = static_cast<int>(from_arena);
  return kTfLiteOk;
}

ArenaPlanner::Buffer ArenaPlanner::Planned(int index) const {
  Buffer buffer;
  memcpy(&buffer, record_ + sizeof(Header) + sizeof(Buffer) * static_cast<size_t>(index),
         sizeof(Buffer));
  return buffer;
}

TfLiteStatus ArenaPlanner::Refuse(const char* why) {
  error_ = why;
  MCUFORMER_LOG("The memory plan (metadata %s) %s.", kName, why);
  return kTfLiteError;
}

TfLiteStatus ArenaPlanner::CheckPlan() {
  Header header;
  if (record_ == nullptr) return Refuse("is absent");
  if (record_size_ < sizeof(Header)) return Refuse("is cut short");
  memcpy(&header, record_, sizeof(Header));
  if (header.magic != kMagic || header.version != kVersion) return Refuse("is of another version");
  if (record_size_ != sizeof(Header) + sizeof(Buffer) * header.num_buffers ||
      header.num_tensors > header.num_buffers) {
    return Refuse("is cut short");
  }
  const size_t checked = sizeof(Header) - sizeof(header.checksum);
  const uint32_t crc =
      Crc32(Crc32(0, record_, checked), record_ + sizeof(Header), record_size_ - sizeof(Header));
  if (crc != header.checksum) return Refuse("is damaged: its checksum is wrong");
  if (header.num_regions > num_regions_) return Refuse("needs more regions of memory than given");
  num_planned_ = header.num_buffers;
  num_tensors_ = header.num_tensors;
  for (int i = 0; i < num_planned_; ++i) {
    const Buffer one = Planned(i);
    if (one.size <= 0 || one.offset < 0 || one.offset % kAlignment != 0 || one.first > one.last ||
        one.region >= header.num_regions ||
        (one.overwrites != kNone && one.overwrites >= num_tensors_)) {
      return Refuse("holds a buffer that cannot be");
    }
    // Scratch is its operator's alone: it may take the place of nothing, least of all of an input.
    if (i >= num_tensors_ && (one.overwrites != kNone || one.walk != 0 || one.first != one.last)) {
      return Refuse("lets scratch take the place of a tensor");
    }
    if (static_cast<uint64_t>(one.offset) + static_cast<uint64_t>(one.size) >
        regions_[one.region].size) {
      return Refuse("does not fit the memory that it is given");
    }
    for (int j = 0; j < i; ++j) {
      const Buffer other = Planned(j);
      if (!MayOverlap(one, i, other, j)) return Refuse("lets two live buffers share bytes");
    }
    if (one.region == 0 && static_cast<size_t>(one.offset + one.size) > head_) {
      head_ = static_cast<size_t>(one.offset + one.size);
    }
  }
  return kTfLiteOk;
}

bool ArenaPlanner::MayOverlap(const Buffer& one, int one_index, const Buffer& other,
                              int other_index) const {
  if (one.region != other.region || !InTime(one.first, one.last, other.first, other.last) ||
      one.offset >= other.offset + other.size || other.offset >= one.offset + one.size) {
    return true;
  }
  const bool one_writes = one.overwrites == other_index;
  const Buffer& writer = one_writes ? one : other;
  const Buffer& source = one_writes ? other : one;
  if (!one_writes && other.overwrites != one_index) return false;
  return writer.offset == source.offset && writer.first == source.last && writer.walk != 0;
}

TfLiteStatus ArenaPlanner::AddTensor(int size, int first, int last, const int* offline_offset) {
  const Buffer planned = Planned(count_);
  if (planned.size != size || planned.first != first || planned.last != last) {
    return Refuse("is for another model: a tensor's size or lifetime differs");
  }
  // TFLM's own plan knows the first region only; it leaves the others' tensors open.
  if ((offline_offset != nullptr) != (planned.region == 0) ||
      (offline_offset != nullptr && *offline_offset != planned.offset)) {
    return Refuse("differs from TFLM's (metadata OfflineMemoryAllocation)");
  }
  ++count_;
  return kTfLiteOk;
}

TfLiteStatus ArenaPlanner::AddScratch(int size, int first, int last) {
  const int index = count_ - num_tensors_;
  if (index >= scratch_capacity_) return Refuse("leaves too little memory to plan scratch");
  if (size <= 0) return Refuse("meets a scratch buffer of no bytes");
  Buffer wanted = {size, 0, static_cast<uint16_t>(first), static_cast<uint16_t>(last), kNone, 0, 0};
  bool found = false;
  for (int i = next_planned_; i < num_planned_ && !found; ++i) {
    const Buffer planned = Planned(i);
    if (planned.first > first) break;
    found = planned.size == size && planned.first == first && planned.last == last;
    if (found) {
      wanted = planned;
      next_planned_ = i + 1;
    }
  }
  if (!found) wanted.offset = LowestFree(wanted);
  if (wanted.region == 0 && static_cast<size_t>(wanted.offset + wanted.size) > head_) {
    head_ = static_cast<size_t>(wanted.offset + wanted.size);
  }
  scratch_[index] = wanted;
  ++count_;
  return kTfLiteOk;
}

int ArenaPlanner::LowestFree(const Buffer& wanted) const {
  const int num_scratch = count_ - num_tensors_;
  int offset = 0;
  bool moved = true;
  while (moved) {
    moved = false;
    for (int i = 0; i < num_planned_ + num_scratch; ++i) {
      const Buffer other = i < num_planned_ ? Planned(i) : scratch_[i - num_planned_];
      if (other.region == 0 && InTime(wanted.first, wanted.last, other.first, other.last) &&
          offset < other.offset + other.size && other.offset < offset + wanted.size) {
        offset = other.offset + other.size;
        moved = true;
      }
    }
  }
  return offset;
}

void ArenaPlanner::PrintMemoryPlan() {
  constexpr int kColumns = 64;
  int last = 0;
  for (int i = 0; i < num_planned_; ++i) {
    const Buffer buffer = Planned(i);
    MCUFORMER_LOG("%s %d: region %d, bytes [%d, %d), operators %d to %d%s",
                  i < num_tensors_ ? "tensor" : "scratch", i, static_cast<int>(buffer.region),
                  static_cast<int>(buffer.offset), static_cast<int>(buffer.offset + buffer.size),
                  buffer.first - 1, buffer.last - 1,
                  buffer.overwrites == kNone ? "" : ", in the place of its input");
    if (buffer.last > last) last = buffer.last;
  }
  for (int region = 0; region < num_regions_; ++region) {
    const size_t bytes = RegionBytes(region);
    if (bytes == 0) continue;
    MCUFORMER_LOG("region %d, %d bytes: # tensors, = in place, + scratch, . free", region,
                  static_cast<int>(bytes));
    for (int time = 0; time <= last; ++time) {
      char line[kColumns + 1];
      memset(line, '.', kColumns);
      line[kColumns] = '\0';
      for (int i = 0; i < num_planned_; ++i) {
        const Buffer buffer = Planned(i);
        if (buffer.region != region || time < buffer.first || time > buffer.last) continue;
        const bool in_place = buffer.overwrites != kNone && time == buffer.first;
        const char mark = i >= num_tensors_ ? '+' : in_place ? '=' : '#';
        const size_t scale = bytes / kColumns + 1;
        const size_t from = static_cast<size_t>(buffer.offset) / scale;
        const size_t to = static_cast<size_t>(buffer.offset + buffer.size - 1) / scale;
        for (size_t column = from; column <= to; ++column) {
          if (line[column] != '=') line[column] = mark;
        }
      }
      MCUFORMER_LOG("%4d %s", time - 1, line);
    }
  }
}

}  // namespace mcuformer
