#include "tflm/model_metadata.h"

#include <cstring>

namespace mcuformer {
namespace {

// Fields of the schema's tables, in the order in which they are declared (schema.fbs).
constexpr int kModelBuffers = 4;
constexpr int kModelMetadata = 6;
constexpr int kMetadataName = 0;
constexpr int kMetadataBuffer = 1;
constexpr int kBufferData = 0;

// A position of 0 means that something is absent or lies outside the bytes.
class Flatbuffer {
 public:
  Flatbuffer(const void* data, size_t size)
      : data_(static_cast<const uint8_t*>(data)), size_(size) {}

  size_t Root() const { return Follow(0); }

  // Where the value of a table's field lies.
  size_t Field(size_t table, int field) const {
    int32_t back = 0;
    uint16_t table_size = 0, offset = 0;
    if (table == 0 || !Read(table, &back)) return 0;
    const int64_t vtable = static_cast<int64_t>(table) - back;
    if (vtable <= 0 || vtable >= static_cast<int64_t>(size_)) return 0;
    const size_t entry = 4 + 2 * static_cast<size_t>(field);
    if (!Read(static_cast<size_t>(vtable), &table_size) || entry + 2 > table_size ||
        !Read(static_cast<size_t>(vtable) + entry, &offset) || offset == 0) {
      return 0;
    }
    return table + offset;
  }

  // Where the table, vector or string lies to which the offset at `position` leads.
  size_t Follow(size_t position) const {
    uint32_t offset = 0;
    if (!Read(position, &offset) || offset == 0) return 0;
    const uint64_t target = static_cast<uint64_t>(position) + offset;
    return target < size_ ? static_cast<size_t>(target) : 0;
  }

  size_t FollowField(size_t table, int field) const {
    const size_t position = Field(table, field);
    return position == 0 ? 0 : Follow(position);
  }

  // Length of a vector or string whose elements have that many bytes and all lie inside.
  bool Length(size_t vector, size_t element_size, uint32_t* length) const {
    return vector != 0 && Read(vector, length) &&
           static_cast<uint64_t>(*length) * element_size <= size_ - vector - 4;
  }

  size_t Element(size_t vector, uint32_t index) const { return Follow(vector + 4 + 4 * index); }

  template <typename T>
  bool Read(size_t position, T* value) const {
    if (position > size_ || size_ - position < sizeof(T)) return false;
    memcpy(value, data_ + position, sizeof(T));
    return true;
  }

  const uint8_t* At(size_t position) const { return data_ + position; }

 private:
  const uint8_t* data_;
  size_t size_;
};

}  // namespace

bool FindModelMetadata(const void* model, size_t model_size, const char* name, const uint8_t** data,
                       size_t* length) {
  const Flatbuffer file(model, model_size);
  const size_t root = file.Root();
  const size_t entries = file.FollowField(root, kModelMetadata);
  const size_t buffers = file.FollowField(root, kModelBuffers);
  uint32_t num_entries = 0, num_buffers = 0;
  if (!file.Length(entries, 4, &num_entries) || !file.Length(buffers, 4, &num_buffers)) {
    return false;
  }
  const size_t name_length = strlen(name);
  for (uint32_t i = 0; i < num_entries; ++i) {
    const size_t entry = file.Element(entries, i);
    const size_t text = file.FollowField(entry, kMetadataName);
    uint32_t text_length = 0;
    if (!file.Length(text, 1, &text_length) || text_length != name_length ||
        memcmp(file.At(text + 4), name, name_length) != 0) {
      continue;
    }
    uint32_t index = 0, bytes = 0;
    const size_t field = file.Field(entry, kMetadataBuffer);
    if (field == 0 || !file.Read(field, &index) || index >= num_buffers) return false;
    const size_t vector = file.FollowField(file.Element(buffers, index), kBufferData);
    if (!file.Length(vector, 1, &bytes)) return false;
    *data = file.At(vector + 4);
    *length = bytes;
    return true;
  }
  return false;
}

}  // namespace mcuformer
