// A memory planner for TFLM that follows the plan which the model carries, and checks it first.
#ifndef MCUFORMER_TFLM_ARENA_PLANNER_H_
#define MCUFORMER_TFLM_ARENA_PLANNER_H_

#include <cstddef>
#include <cstdint>

#include "tflm/planner_interface.h"

namespace mcuformer {

// Give it to TFLM:
//
//   mcuformer::ArenaPlanner planner(model_data, model_size, arena, sizeof(arena));
//   auto* allocator = tflite::MicroAllocator::Create(arena, sizeof(arena), &planner);
//   tflite::MicroInterpreter interpreter(model, resolver, allocator);
//
// Algorithm:
//   - The plan is the model's metadata McuformerMemoryPlan (written by
//     mcuformer_tflm/plan/memory_plan.py): size, lifetime, place, and permission to overwrite of
//     each tensor in the arena, then of each scratch buffer. It stays in flash.
//   - Init checks it alone: checksum, alignment, the bounds of each region of memory, and for
//     each pair of buffers alive at once that they share no byte, unless one overwrites the
//     other by permission: from the same start, in the operator in which the other is read last.
//   - AddBuffer compares each tensor of TFLM with the plan's: another size, lifetime or offset
//     means that the plan is for another model.
//   - A scratch buffer takes the place that is planned for one of its size in that operator.
//     One that is not in the plan goes to the lowest free bytes of the arena.
//   - Every error comes out of AllocateTensors, before anything is written to a planned place.
//
// A second region of memory (AddRegion) holds the buffers that the plan puts there. TFLM adds
// an offset to the arena's start, and the offset of such a buffer leads to the other region.
class ArenaPlanner : public MicroMemoryPlanner {
 public:
  // `arena` and `arena_size` are those given to MicroAllocator::Create. Nothing is copied:
  // the model must stay where it is.
  ArenaPlanner(const void* model, size_t model_size, uint8_t* arena, size_t arena_size);

  // Adds the next region of memory; its start is rounded up to 16 bytes. At most kMaxRegions.
  bool AddRegion(uint8_t* start, size_t size);

  // Why the plan was refused: never null, and empty where it was not.
  const char* error() const { return error_; }

  // Where a planned tensor lies, by its index among the tensors in the arena, or null.
  uint8_t* Address(int buffer_index) const;

  // Bytes that the plan needs in one region.
  size_t RegionBytes(int region) const;

  TfLiteStatus AddBuffer(int size, int first_time_used, int last_time_used) override;
  TfLiteStatus AddBuffer(int size, int first_time_used, int last_time_used,
                         int offline_offset) override;
  size_t GetMaximumMemorySize() override { return head_; }
  int GetBufferCount() override { return count_; }
  TfLiteStatus GetOffsetForBuffer(int buffer_index, int* offset) override;
  TfLiteStatus Init(unsigned char* scratch_buffer, int scratch_buffer_size) override;
  bool preserves_all_tensors() const override { return false; }

  // Prints a line a buffer and a picture: a row an operator, addresses to the right.
  void PrintMemoryPlan() override;

  static constexpr int kMaxRegions = 4;
  static constexpr int kAlignment = 16;

 private:
  struct Buffer {
    int32_t size;
    int32_t offset;
    uint16_t first;
    uint16_t last;
    uint16_t overwrites;
    uint8_t region;
    uint8_t walk;
  };
  static_assert(sizeof(Buffer) == 16, "as it is written by memory_plan.py");

  struct Region {
    uint8_t* start;
    size_t size;
  };

  Buffer Planned(int index) const;
  TfLiteStatus Refuse(const char* why);
  TfLiteStatus CheckPlan();
  bool MayOverlap(const Buffer& one, int one_index, const Buffer& other, int other_index) const;
  TfLiteStatus AddTensor(int size, int first, int last, const int* offline_offset);
  TfLiteStatus AddScratch(int size, int first, int last);
  int LowestFree(const Buffer& wanted) const;

  const uint8_t* record_ = nullptr;
  size_t record_size_ = 0;
  Region regions_[kMaxRegions] = {};
  int num_regions_ = 0;
  int num_planned_ = 0;
  int num_tensors_ = 0;
  int count_ = 0;
  int next_planned_ = 0;  // first scratch buffer of the plan that is not taken yet
  Buffer* scratch_ = nullptr;
  int scratch_capacity_ = 0;
  size_t head_ = 0;
  const char* error_ = "";
};

}  // namespace mcuformer

#endif  // MCUFORMER_TFLM_ARENA_PLANNER_H_
