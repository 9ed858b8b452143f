#include "app/profile.h"

#include "app/readings.h"
#include "app/text.h"
#include "mcuformer.h"

namespace mcuformer {
namespace {

// What counts; null where nothing does.
const char* counter;
uint64_t camera_cycles;

// One line of the log.
class Line {
 public:
  explicit Line(const char* text) { Add("mcuformer profile: ").Add(text); }
  Line& Add(const char* text) {
    text_.Add(text);
    return *this;
  }
  Line& Add(uint64_t value) {
    char digits[21] = {};
    int at = 20;
    do {
      digits[--at] = static_cast<char>('0' + value % 10);
      value /= 10;
    } while (value != 0);
    return Add(digits + at);
  }
  Line& AddHex(uint32_t value) {
    text_.AddHex(value);
    return *this;
  }
  void Write() {
    uint8_t check = 0;
    for (const char* at = text_.text(); *at != '\0'; ++at) check ^= static_cast<uint8_t>(*at);
    Add(" *").Add(uint64_t{check});
    IoWrite(text_.text());
  }

 private:
  Text text_;
};

// The part number in CPUID (Architecture Reference Manual, B3.2.3).
const char* Core() {
  switch (*reinterpret_cast<volatile uint32_t*>(0xE000ED00) >> 4 & 0xFFF) {
    case 0xC24:
      return "cortex-m4";
    case 0xC27:
      return "cortex-m7";
    case 0xD21:
      return "cortex-m33";
    case 0xD22:
      return "cortex-m55";
    default:
      return "unknown";
  }
}

}  // namespace

void BeginProfile() {
  const char* text = "";
  if (mcuformer_cycles_begin(&text)) {
    counter = text;
  } else {
    Line("no cycles: ").Add(text).Write();
  }
}

bool ReadRowsProfiled(void* context, int row, int rows, int8_t* pixels) {
  if (row == 0) camera_cycles = 0;
  const uint32_t start = mcuformer_cycles();
  const bool read = IoReadRows(context, row, rows, pixels);
  camera_cycles += mcuformer_cycles() - start;
  return read;
}

void WriteProfile() {
  if (counter == nullptr) return;
  Line header("model ");
  header.AddHex(MCUFORMER_MODEL_CHECKSUM).Add(", board " MCUFORMER_BOARD_NAME ", core ");
  header.Add(Core()).Add(", ").Add(uint64_t{MCUFORMER_MEGAHERTZ}).Add(" MHz, ");
  header.Add(static_cast<uint64_t>(kNumProfiledOperators)).Add(" operators, counted by ");
  header.Add(counter).Write();
  Line("camera ").Add(camera_cycles).Write();
  uint64_t total = 0;
  for (int i = 0; i < kNumProfiledOperators; ++i) {
    uint32_t cycles = readings[i + 1] - readings[i];
    // The picture is read before the first operator, or by it, strip by strip.
    if (i == 0) cycles -= static_cast<uint32_t>(camera_cycles);
    total += cycles;
    Line line("operator ");
    line.Add(static_cast<uint64_t>(i)).Add(", ").Add(uint64_t{cycles}).Add(" cycles, ");
    line.Add(kProfiledOperators[i]).Write();
  }
  Line("total ").Add(total).Write();
}

}  // namespace mcuformer
