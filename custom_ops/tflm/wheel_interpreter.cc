// TFLM's interpreter of the tflite-micro wheel with our arena planner, driven from Python.
//
// The wheel exports TFLM's C++ symbols but no headers exist beside it. So its objects are
// opaque here: constructors and methods are found by name and called on reserved storage that
// is generously larger than what they take. Before anything is called, the virtual functions of
// the wheel's own planner are compared, slot by slot, with those of planner_interface.h; where
// they differ, or a symbol is missing, the answer is an error that says so.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "tflm/arena_planner.h"
#include "tflm/model_metadata.h"

#define MCUFORMER_EXPORT extern "C" __attribute__((visibility("default")))

// In wheel.cc.
MCUFORMER_EXPORT bool McuformerRegisterOps(void* python_ops_resolver);
MCUFORMER_EXPORT const char* McuformerProbeError();

namespace mcuformer {
namespace {

// What the pinned wheel takes: 13,620 and 240 bytes.
constexpr size_t kResolverStorage = 1 << 16;
constexpr size_t kInterpreterStorage = 1 << 13;
constexpr size_t kStorageAlignment = 64;

struct Symbols {
  void (*make_resolver)(void* self);
  void (*destroy_resolver)(void* self);
  void* (*create_allocator)(uint8_t* arena, size_t size, MicroMemoryPlanner* planner);
  size_t (*used_bytes)(const void* allocator);
  void (*make_interpreter)(void* self, const void* model, const void* resolver, void* allocator,
                           void* resource_variables, void* profiler);
  void (*destroy_interpreter)(void* self);
  TfLiteStatus (*allocate_tensors)(void* self);
  TfLiteStatus (*invoke)(void* self);
};

// A thread is told of its own attempts only.
thread_local const char* last_error = "";

template <typename Function>
bool Find(const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
  return *function != nullptr;
}

bool FindSymbols(Symbols* s) {
  return Find("_ZN6tflite17PythonOpsResolverC1Ev", &s->make_resolver) &&
         Find("_ZN6tflite17PythonOpsResolverD1Ev", &s->destroy_resolver) &&
         Find("_ZN6tflite5micro14MicroAllocator6CreateEPhmPNS0_18MicroMemoryPlannerE",
              &s->create_allocator) &&
         Find("_ZNK6tflite5micro14MicroAllocator10used_bytesEv", &s->used_bytes) &&
         Find(
             "_ZN6tflite5micro16MicroInterpreterC1EPKNS_5ModelERKNS0_15MicroOpResolverEPNS0_"
             "14MicroAllocatorEPNS0_22MicroResourceVariablesEPNS0_22MicroProfilerInterfaceE",
             &s->make_interpreter) &&
         Find("_ZN6tflite5micro16MicroInterpreterD1Ev", &s->destroy_interpreter) &&
         Find("_ZN6tflite5micro16MicroInterpreter15AllocateTensorsEv", &s->allocate_tensors) &&
         Find("_ZN6tflite5micro16MicroInterpreter6InvokeEv", &s->invoke);
}

// Whether the wheel's planner has the virtual functions that ours has, in the same order.
bool PlannerLayoutAgrees() {
  constexpr const char* kSlots[] = {
      "_ZN6tflite5micro19GreedyMemoryPlannerD1Ev",
      "_ZN6tflite5micro19GreedyMemoryPlannerD0Ev",
      "_ZN6tflite5micro19GreedyMemoryPlanner9AddBufferEiii",
      "_ZN6tflite5micro19GreedyMemoryPlanner9AddBufferEiiii",
      "_ZN6tflite5micro19GreedyMemoryPlanner20GetMaximumMemorySizeEv",
      "_ZN6tflite5micro19GreedyMemoryPlanner14GetBufferCountEv",
      "_ZN6tflite5micro19GreedyMemoryPlanner18GetOffsetForBufferEiPi",
      "_ZN6tflite5micro19GreedyMemoryPlanner4InitEPhi",
      "_ZNK6tflite5micro19GreedyMemoryPlanner21preserves_all_tensorsEv",
      "_ZN6tflite5micro19GreedyMemoryPlanner15PrintMemoryPlanEv",
  };
  // Before the first function lie the offset to the top and the type information.
  void* const* table = nullptr;
  if (!Find("_ZTVN6tflite5micro19GreedyMemoryPlannerE", &table)) return false;
  table += 2;
  for (const char* slot : kSlots) {
    void* function = dlsym(RTLD_DEFAULT, slot);
    if (function == nullptr || *table++ != function) return false;
  }
  return true;
}

struct Storage {
  explicit Storage(size_t size) : bytes(aligned_alloc(kStorageAlignment, size)) {
    memset(bytes, 0, size);
  }
  ~Storage() { free(bytes); }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  void* bytes;
};

struct Interpreter {
  Interpreter(const Symbols& found, const void* model, size_t model_size, uint8_t* arena,
              size_t arena_size)
      : symbols(found),
        planner(model, model_size, arena, arena_size),
        resolver(kResolverStorage),
        interpreter(kInterpreterStorage) {}

  Symbols symbols;
  ArenaPlanner planner;
  Storage resolver;
  Storage interpreter;
  void* allocator = nullptr;
};

}  // namespace

}  // namespace mcuformer

// Why the last McuformerCreateInterpreter of this thread gave null.
MCUFORMER_EXPORT const char* McuformerInterpreterError() { return mcuformer::last_error; }

// Opens a model with our planner; null where that fails. The first of the regions of memory is
// TFLM's arena. The model and the regions must outlive the interpreter.
MCUFORMER_EXPORT void* McuformerCreateInterpreter(const uint8_t* model, size_t model_size,
                                                  uint8_t* const* regions, const size_t* sizes,
                                                  int num_regions) {
  using namespace mcuformer;
  last_error = "";
  Symbols symbols = {};
  if (!FindSymbols(&symbols) || !PlannerLayoutAgrees()) {
    last_error = "the installed TFLM has another binary interface";
    return nullptr;
  }
  if (model_size < sizeof(uint32_t)) {
    last_error = "the model is empty";
    return nullptr;
  }
  uint8_t* const arena = regions[0];
  const size_t arena_size = sizes[0];
  auto* self = new (std::nothrow) Interpreter(symbols, model, model_size, arena, arena_size);
  if (self == nullptr) return nullptr;
  for (int i = 1; i < num_regions; ++i) self->planner.AddRegion(regions[i], sizes[i]);
  symbols.make_resolver(self->resolver.bytes);
  bool opened = McuformerRegisterOps(self->resolver.bytes);
  if (!opened) {
    last_error = McuformerProbeError();
  } else {
    self->allocator = symbols.create_allocator(arena, arena_size, &self->planner);
    uint32_t root = 0;
    memcpy(&root, model, sizeof(root));
    symbols.make_interpreter(self->interpreter.bytes, model + root, self->resolver.bytes,
                             self->allocator, nullptr, nullptr);
    opened = symbols.allocate_tensors(self->interpreter.bytes) == kTfLiteOk;
    if (!opened) {
      last_error = self->planner.error();
      symbols.destroy_interpreter(self->interpreter.bytes);
    }
  }
  if (!opened) {
    symbols.destroy_resolver(self->resolver.bytes);
    delete self;
    return nullptr;
  }
  return self;
}

MCUFORMER_EXPORT void McuformerDestroyInterpreter(void* handle) {
  auto* self = static_cast<mcuformer::Interpreter*>(handle);
  self->symbols.destroy_interpreter(self->interpreter.bytes);
  self->symbols.destroy_resolver(self->resolver.bytes);
  delete self;
}

// Runs the model once; false where an operator fails.
MCUFORMER_EXPORT bool McuformerInvoke(void* handle) {
  auto* self = static_cast<mcuformer::Interpreter*>(handle);
  return self->symbols.invoke(self->interpreter.bytes) == kTfLiteOk;
}

// Where a tensor lies, by its index among the tensors in the arena.
MCUFORMER_EXPORT void* McuformerTensorAddress(void* handle, int buffer_index) {
  return static_cast<mcuformer::Interpreter*>(handle)->planner.Address(buffer_index);
}

// Bytes in use: of one region's planned buffers, and of TFLM's arena altogether.
MCUFORMER_EXPORT size_t McuformerRegionBytes(void* handle, int region) {
  return static_cast<mcuformer::Interpreter*>(handle)->planner.RegionBytes(region);
}
MCUFORMER_EXPORT size_t McuformerUsedBytes(void* handle) {
  const auto* self = static_cast<mcuformer::Interpreter*>(handle);
  return self->symbols.used_bytes(self->allocator);
}

MCUFORMER_EXPORT void McuformerPrintMemoryPlan(void* handle) {
  static_cast<mcuformer::Interpreter*>(handle)->planner.PrintMemoryPlan();
}

// Finds a metadata buffer, for tests that feed the reader damaged bytes: its length, or -1.
MCUFORMER_EXPORT int64_t McuformerFindMetadata(const void* model, size_t size, const char* name) {
  const uint8_t* data = nullptr;
  size_t length = 0;
  if (!mcuformer::FindModelMetadata(model, size, name, &data, &length)) return -1;
  return static_cast<int64_t>(length);
}
