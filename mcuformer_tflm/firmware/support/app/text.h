// One line of text without printf, which would take more code than the kernels.
#ifndef MCUFORMER_APP_TEXT_H_
#define MCUFORMER_APP_TEXT_H_

#include <cstdint>

namespace mcuformer {

// What does not fit is dropped.
class Text {
 public:
  void Add(const char* text) {
    while (*text != '\0' && size_ + 1 < kCapacity) buffer_[size_++] = *text++;
    buffer_[size_] = '\0';
  }
  void AddNumber(uint32_t value) {
    char digits[11] = {};
    int at = 10;
    do {
      digits[--at] = static_cast<char>('0' + value % 10);
      value /= 10;
    } while (value != 0);
    Add(digits + at);
  }
  void AddHex(uint32_t value) {
    char digits[11] = "0x";
    for (int i = 0; i < 8; ++i) digits[2 + i] = "0123456789abcdef"[value >> (28 - 4 * i) & 15];
    Add(digits);
  }
  const char* text() const { return buffer_; }

 private:
  static constexpr int kCapacity = 240;
  char buffer_[kCapacity] = {};
  int size_ = 0;
};

}  // namespace mcuformer

#endif  // MCUFORMER_APP_TEXT_H_
