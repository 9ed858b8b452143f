// Reads an operator's options: a flexbuffer map from names to integers.
//
// Written by hand since the flatbuffers header is no part of what the wheel's build has. It
// reads nothing outside the given bytes, whatever they hold.
#ifndef MCUFORMER_TFLM_OPTIONS_H_
#define MCUFORMER_TFLM_OPTIONS_H_

#include <cstddef>
#include <cstdint>

namespace mcuformer {

class Options {
 public:
  Options(const void* data, size_t size);

  // Whether the bytes are a map at all.
  bool valid() const { return size_ != 0; }

  // Sets *value and returns true if there is an integer of that name which fits 32 bits.
  bool Get(const char* name, int32_t* value) const;
  // The same where int and int32_t are two types, as in newlib.
  template <typename Integer>
  bool Get(const char* name, Integer* value) const {
    int32_t found = 0;
    if (!Get(name, &found)) return false;
    *value = found;
    return true;
  }

 private:
  bool ReadUnsigned(size_t at, size_t width, uint64_t* value) const;
  bool KeyEquals(size_t index, const char* name) const;

  const uint8_t* data_;
  size_t length_;
  size_t map_ = 0;        // where the values start
  size_t map_width_ = 0;  // bytes a value
  size_t keys_ = 0;       // where the offsets of the keys start
  size_t keys_width_ = 0;
  size_t size_ = 0;  // entries; 0 where the bytes are no map
};

}  // namespace mcuformer

#endif  // MCUFORMER_TFLM_OPTIONS_H_
