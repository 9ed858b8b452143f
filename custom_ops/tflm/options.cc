#include "tflm/options.h"

namespace mcuformer {
namespace {

// Flexbuffer types; the low two bits of a packed type hold the width.
constexpr int kTypeInt = 1;
constexpr int kTypeUint = 2;
constexpr int kTypeMap = 9;

bool IsWidth(uint64_t width) { return width == 1 || width == 2 || width == 4 || width == 8; }

}  // namespace

Options::Options(const void* data, size_t size)
    : data_(static_cast<const uint8_t*>(data)), length_(data == nullptr ? 0 : size) {
  // From the end: the root's width, its packed type, the root itself: an offset to the map.
  if (length_ < 3) return;
  const size_t root_width = data_[length_ - 1];
  const int packed = data_[length_ - 2];
  if (packed >> 2 != kTypeMap || !IsWidth(root_width) || length_ < 2 + root_width) return;
  const size_t root = length_ - 2 - root_width;
  uint64_t back = 0;
  if (!ReadUnsigned(root, root_width, &back) || back > root) return;
  map_ = root - static_cast<size_t>(back);
  map_width_ = size_t{1} << (packed & 3);
  // Before the values: offset to the keys, width of the keys' offsets, number of entries.
  if (map_ < 3 * map_width_) return;
  const size_t header = map_ - 3 * map_width_;
  uint64_t keys_back = 0, keys_width = 0, entries = 0;
  if (!ReadUnsigned(header, map_width_, &keys_back) || keys_back > header ||
      !ReadUnsigned(header + map_width_, map_width_, &keys_width) || !IsWidth(keys_width) ||
      !ReadUnsigned(header + 2 * map_width_, map_width_, &entries) || entries > length_) {
    return;
  }
  keys_ = header - static_cast<size_t>(keys_back);
  keys_width_ = static_cast<size_t>(keys_width);
  size_ = static_cast<size_t>(entries);
}

bool Options::Get(const char* name, int32_t* value) const {
  for (size_t i = 0; i < size_; ++i) {
    if (!KeyEquals(i, name)) continue;
    const size_t type_at = map_ + size_ * map_width_ + i;
    uint64_t bits = 0;
    if (type_at >= length_ || !ReadUnsigned(map_ + i * map_width_, map_width_, &bits)) {
      return false;
    }
    const int type = data_[type_at] >> 2;
    if (type == kTypeInt) {
      // Sign-extend from the stored width.
      const int unused = 64 - 8 * static_cast<int>(map_width_);
      const int64_t extended = static_cast<int64_t>(bits << unused) >> unused;
      if (extended < INT32_MIN || extended > INT32_MAX) return false;
      *value = static_cast<int32_t>(extended);
      return true;
    }
    if (type != kTypeUint || bits > INT32_MAX) return false;
    *value = static_cast<int32_t>(bits);
    return true;
  }
  return false;
}

bool Options::ReadUnsigned(size_t at, size_t width, uint64_t* value) const {
  if (at > length_ || width > length_ - at) return false;
  *value = 0;
  for (size_t i = 0; i < width; ++i) *value |= uint64_t{data_[at + i]} << (8 * i);
  return true;
}

bool Options::KeyEquals(size_t index, const char* name) const {
  const size_t at = keys_ + index * keys_width_;
  uint64_t back = 0;
  if (!ReadUnsigned(at, keys_width_, &back) || back > at) return false;
  for (size_t i = at - static_cast<size_t>(back);; ++i, ++name) {
    if (i >= length_ || data_[i] != static_cast<uint8_t>(*name)) return false;
    if (*name == '\0') return true;
  }
}

}  // namespace mcuformer
