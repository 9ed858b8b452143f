// Cycles of each operator (-DMCUFORMER_PROFILE=ON), written between two inferences.
#ifndef MCUFORMER_APP_PROFILE_H_
#define MCUFORMER_APP_PROFILE_H_

#include <cstdint>

#include "app/io.h"

namespace mcuformer {

#ifdef MCUFORMER_PROFILE
// Starts the counter; writes why it cannot.
void BeginProfile();

// `IoReadRows`, its cycles kept apart: waiting for a camera is no operator's work.
bool ReadRowsProfiled(void* context, int row, int rows, int8_t* pixels);

// Writes the last inference, a line each (IoWrite): what was measured, the camera, each operator,
// the total. Each ends in an asterisk and the exclusive or of the bytes before it, by which
// `mcuformer profile` knows a damaged line.
void WriteProfile();
#else
inline void BeginProfile() {}
inline void WriteProfile() {}
constexpr auto ReadRowsProfiled = IoReadRows;
#endif

}  // namespace mcuformer

#endif  // MCUFORMER_APP_PROFILE_H_
