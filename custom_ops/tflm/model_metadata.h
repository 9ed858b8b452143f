// Finds a metadata buffer in a .tflite.
//
// Written by hand since the flatbuffers header is no part of what the wheel's build has. It
// reads nothing outside the given bytes, whatever they hold.
#ifndef MCUFORMER_TFLM_MODEL_METADATA_H_
#define MCUFORMER_TFLM_MODEL_METADATA_H_

#include <cstddef>
#include <cstdint>

namespace mcuformer {

// Sets *data and *length to the buffer of that name; false if there is none. The model's bytes
// are those of the file, and *data points into them.
bool FindModelMetadata(const void* model, size_t model_size, const char* name, const uint8_t** data,
                       size_t* length);

}  // namespace mcuformer

#endif  // MCUFORMER_TFLM_MODEL_METADATA_H_
