// TFLM's memory planner interface: from the real headers with MCUFORMER_WITH_TFLM, and
// otherwise declared here with the same virtual functions in the same order
// (micro/memory_planner/micro_memory_planner.h), for the wheel. wheel_interpreter.cc compares
// that order with the wheel's own planner before it is relied on.
#ifndef MCUFORMER_TFLM_PLANNER_INTERFACE_H_
#define MCUFORMER_TFLM_PLANNER_INTERFACE_H_

#include "tflm/tflm.h"

#ifdef MCUFORMER_WITH_TFLM

#include "tensorflow/lite/micro/memory_planner/micro_memory_planner.h"

// TFLM has moved its classes from namespace tflite to tflite::micro; either is found here.
namespace tflite {
namespace micro {}
using namespace micro;
}  // namespace tflite

namespace mcuformer {
using MicroMemoryPlanner = tflite::MicroMemoryPlanner;
}  // namespace mcuformer

#else

namespace mcuformer {

class MicroMemoryPlanner {
 public:
  virtual ~MicroMemoryPlanner() {}
  virtual TfLiteStatus AddBuffer(int size, int first_time_used, int last_time_used) = 0;
  virtual TfLiteStatus AddBuffer(int size, int first_time_used, int last_time_used,
                                 int offline_offset) = 0;
  virtual size_t GetMaximumMemorySize() = 0;
  virtual int GetBufferCount() = 0;
  virtual TfLiteStatus GetOffsetForBuffer(int buffer_index, int* offset) = 0;
  virtual TfLiteStatus Init(unsigned char* scratch_buffer, int scratch_buffer_size) = 0;
  virtual bool preserves_all_tensors() const = 0;
  virtual void PrintMemoryPlan() = 0;
};

}  // namespace mcuformer

#endif

#endif  // MCUFORMER_TFLM_PLANNER_INTERFACE_H_
