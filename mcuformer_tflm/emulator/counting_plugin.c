// A plug-in of QEMU's translator: counts how often each block of code runs. QEMU's interface
// (docs/devel/tcg-plugins.rst) is declared here as far as it is used; its version is 1.
//
// What it counts lies in a file that another process maps (qemu_core.py has the same layout).
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t PluginId;
enum { kNoRegisters = 0, kReadsAndWrites = 3 };

void qemu_plugin_register_vcpu_tb_trans_cb(PluginId id,
                                           void (*translated)(PluginId, struct qemu_plugin_tb*));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb* block,
                                          void (*executed)(unsigned, void*), int flags, void* data);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn* instruction,
                                      void (*accessed)(unsigned, uint32_t, uint64_t, void*),
                                      int flags, int kind, void* data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb* block);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb* block);
struct qemu_plugin_insn* qemu_plugin_tb_get_insn(const struct qemu_plugin_tb* block, size_t index);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn* instruction);
unsigned qemu_plugin_mem_size_shift(uint32_t info);
_Bool qemu_plugin_mem_is_store(uint32_t info);

// Blocks are counted apart for each part of a program, which begins where one of `starts` runs.
struct Header {
  uint32_t capacity, used, parts, current;
  uint32_t overflow;  // not 0: more blocks than there is room for
  uint32_t watch_begin, watch_end;  // reads from there are counted, and marked byte by byte
  uint32_t reserved;
};
struct Block {
  uint32_t address, size;
};

static struct Header* header;
static uint32_t* starts;   // [parts]
static uint64_t* loaded;   // [parts], bytes
static struct Block* blocks;
static uint64_t* counts;   // [capacity][parts]
static uint8_t* touched;   // [watch_end - watch_begin]

static void Executed(unsigned cpu, void* data) {
  (void)cpu;
  ++counts[(uintptr_t)data * header->parts + header->current];
}

static void Entered(unsigned cpu, void* data) {
  (void)cpu;
  header->current = (uint32_t)(uintptr_t)data;
}

static void Accessed(unsigned cpu, uint32_t info, uint64_t address, void* data) {
  (void)cpu;
  (void)data;
  if (qemu_plugin_mem_is_store(info)) return;  // QEMU 7.2 takes one kind for the other
  const uint64_t size = UINT64_C(1) << qemu_plugin_mem_size_shift(info);
  if (address < header->watch_begin || address + size > header->watch_end) return;
  loaded[header->current] += size;
  memset(touched + (address - header->watch_begin), 1, size);
}

static void Translated(PluginId id, struct qemu_plugin_tb* block) {
  (void)id;
  const uint64_t address = qemu_plugin_tb_vaddr(block);
  const size_t instructions = qemu_plugin_tb_n_insns(block);
  uint32_t size = 0;
  for (size_t i = 0; i < instructions; ++i) {
    struct qemu_plugin_insn* instruction = qemu_plugin_tb_get_insn(block, i);
    size += (uint32_t)qemu_plugin_insn_size(instruction);
    if (header->watch_begin != header->watch_end) {
      qemu_plugin_register_vcpu_mem_cb(instruction, Accessed, kNoRegisters, kReadsAndWrites, 0);
    }
  }
  for (uint32_t part = 0; part < header->parts; ++part) {
    if (starts[part] == address) {
      qemu_plugin_register_vcpu_tb_exec_cb(block, Entered, kNoRegisters, (void*)(uintptr_t)part);
    }
  }
  // The same code may be translated anew, or for another state of the core.
  uint32_t index = 0;
  while (index < header->used &&
         (blocks[index].address != address || blocks[index].size != size)) {
    ++index;
  }
  if (index == header->capacity) {
    header->overflow = 1;
    return;
  }
  if (index == header->used) {
    blocks[index] = (struct Block){(uint32_t)address, size};
    header->used = index + 1;
  }
  qemu_plugin_register_vcpu_tb_exec_cb(block, Executed, kNoRegisters, (void*)(uintptr_t)index);
}

// Ends QEMU when the process that started it has ended, and with it the other end of the pipe.
static void* Await(void* pipe) {
  char byte;
  while (read((int)(intptr_t)pipe, &byte, 1) > 0) {
  }
  _exit(1);
}

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

__attribute__((visibility("default"))) int qemu_plugin_install(PluginId id, const void* info,
                                                               int arguments, char** values) {
  (void)info;
  struct stat about;
  if (arguments != 2 || strncmp(values[0], "counts=", 7) != 0) return 1;
  if (strncmp(values[1], "alive=", 6) != 0) return 1;
  const int file = open(values[0] + 7, O_RDWR);
  if (file < 0 || fstat(file, &about) != 0) return 1;
  char* mapped = mmap(0, (size_t)about.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (mapped == MAP_FAILED) return 1;
  header = (struct Header*)mapped;
  starts = (uint32_t*)(header + 1);
  // Parts are even in number, so that what has 64 bits is aligned.
  loaded = (uint64_t*)(starts + header->parts);
  blocks = (struct Block*)(loaded + header->parts);
  counts = (uint64_t*)(blocks + header->capacity);
  touched = (uint8_t*)(counts + (size_t)header->capacity * header->parts);
  pthread_t thread;
  if (pthread_create(&thread, 0, Await, (void*)(intptr_t)atoi(values[1] + 6)) != 0) return 1;
  qemu_plugin_register_vcpu_tb_trans_cb(id, Translated);
  return 0;
}
