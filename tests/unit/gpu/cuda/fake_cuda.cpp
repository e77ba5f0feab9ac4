// A CUDA driver without a GPU: the functions that PyCUDA calls for us, over the fibers.
//
// What is put into a stream happens as late as it may: when somebody waits for it. So whoever reads
// a result, or fills a buffer again, without having waited finds the wrong bytes.
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <deque>
#include <functional>
#include <map>
#include <string>

#define API extern "C" __attribute__((visibility("default"))) int

extern "C" const char *shim_launch(void (*kernel)(const void *), const void *call,
                                   const unsigned grid[3], unsigned threads, int reverse,
                                   int rubbish);
extern "C" void *shim_allocate(uint64_t size, int rubbish);
extern "C" void shim_release(void *memory, uint64_t size);

namespace {

constexpr int kSuccess = 0, kInvalidValue = 1, kOutOfMemory = 2, kInvalidContext = 201,
              kInvalidImage = 200, kNotFound = 500, kLaunchFailed = 719;
constexpr uint64_t kMemory = 256 << 20;
constexpr int kRubbish = 0xff;

struct Event {
  int asked, done;  // how often it was recorded
  struct Stream *stream;
};

struct Work {
  std::function<void()> run;
  Event *recorded, *awaited;
  int number;  // of the event's recording
};

struct Stream {
  std::deque<Work> work;
};

std::map<uint64_t, uint64_t> allocations;
uint64_t held;
int contexts, failed;
Stream *streams[64];
int stream_count;

// Does the next piece of work, and first what it waits for.
void step(Stream *stream) {
  Work work = stream->work.front();
  stream->work.pop_front();
  if (work.awaited)
    while (work.awaited->done < work.number) step(work.awaited->stream);
  if (work.run && !failed) work.run();
  if (work.recorded) work.recorded->done = work.number;
}

void finish(Stream *stream) {
  while (!stream->work.empty()) step(stream);
}

int put(Stream *stream, std::function<void()> run) {
  if (contexts == 0) return kInvalidContext;
  stream->work.push_back({std::move(run), nullptr, nullptr, 0});
  return failed;
}

int finish_all() {
  for (int i = 0; i < stream_count; i++) finish(streams[i]);
  return failed;
}

}  // namespace

API cuInit(unsigned) { return kSuccess; }
API cuDriverGetVersion(int *version) { return *version = 12090, kSuccess; }
API cuDeviceGetCount(int *count) { return *count = 1, kSuccess; }
API cuDeviceGet(int *device, int number) {
  return *device = number, number == 0 ? kSuccess : kInvalidValue;
}
API cuDeviceGetName(char *name, int size, int) {
  return snprintf(name, static_cast<size_t>(size), "No GPU at all"), kSuccess;
}
API cuDeviceComputeCapability(int *major, int *minor, int) {
  return *major = 8, *minor = 0, kSuccess;
}
API cuDeviceGetAttribute(int *value, int attribute, int) {
  return *value = attribute == 75 ? 8 : 0, kSuccess;  // 75, 76: the compute capability
}
API cuDeviceTotalMem_v2(uint64_t *size, int) { return *size = kMemory, kSuccess; }

API cuDevicePrimaryCtxRetain(void **context, int) {
  static int primary;
  return *context = &primary, kSuccess;
}
API cuDevicePrimaryCtxRelease_v2(int) { return kSuccess; }
API cuCtxPushCurrent_v2(void *) { return contexts++, kSuccess; }
API cuCtxPopCurrent_v2(void **) { return contexts--, kSuccess; }
API cuCtxGetDevice(int *device) { return *device = 0, kSuccess; }
API cuCtxSynchronize() { return finish_all(); }

API cuMemAlloc_v2(uint64_t *address, uint64_t size) {
  if (contexts == 0) return kInvalidContext;
  if (held + size > kMemory) return kOutOfMemory;
  *address = reinterpret_cast<uint64_t>(shim_allocate(size, kRubbish));
  allocations[*address] = size;
  held += size;
  return failed;
}
API cuMemFree_v2(uint64_t address) {
  finish_all();  // as CUDA does
  if (!allocations.count(address)) return kInvalidValue;
  shim_release(reinterpret_cast<void *>(address), allocations[address]);
  held -= allocations[address];
  allocations.erase(address);
  return kSuccess;
}
API cuMemHostAlloc(void **memory, uint64_t size, unsigned) {
  return *memory = shim_allocate(size, kRubbish), kSuccess;
}
API cuMemAllocHost_v2(void **memory, uint64_t size) { return cuMemHostAlloc(memory, size, 0); }
API cuMemFreeHost(void *) { return kSuccess; }
API cuMemsetD8Async(uint64_t address, unsigned char value, uint64_t size, Stream *stream) {
  return put(stream, [=] { memset(reinterpret_cast<void *>(address), value, size); });
}
API cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, uint64_t size, Stream *stream) {
  return put(stream, [=] { memcpy(reinterpret_cast<void *>(to), from, size); });
}
API cuMemcpyDtoHAsync_v2(void *to, uint64_t from, uint64_t size, Stream *stream) {
  return put(stream, [=] { memcpy(to, reinterpret_cast<void *>(from), size); });
}

API cuStreamCreate(Stream **stream, unsigned) {
  streams[stream_count++] = *stream = new Stream();
  return contexts ? kSuccess : kInvalidContext;
}
API cuStreamDestroy_v2(Stream *stream) { return finish(stream), kSuccess; }
API cuStreamSynchronize(Stream *stream) { return finish(stream), failed; }
API cuStreamWaitEvent(Stream *stream, Event *event, unsigned) {
  if (event->asked > event->done) stream->work.push_back({nullptr, nullptr, event, event->asked});
  return failed;
}
API cuEventCreate(Event **event, unsigned) { return *event = new Event(), kSuccess; }
API cuEventDestroy_v2(Event *) { return kSuccess; }  // what waits for it still does
API cuEventRecord(Event *event, Stream *stream) {
  event->stream = stream;
  stream->work.push_back({nullptr, event, nullptr, ++event->asked});
  return contexts ? failed : kInvalidContext;
}
API cuEventSynchronize(Event *event) {
  while (event->done < event->asked) step(event->stream);
  return failed;
}

// The kernels are in this library; an image only has to look like one: a cubin, or PTX.
API cuModuleLoadDataEx(void **module, const void *image, unsigned, void *, void *) {
  static int loaded;
  *module = &loaded;
  const bool known = memcmp(image, "\x7f" "ELF", 4) == 0 || memcmp(image, "//\n// Gen", 9) == 0;
  return known ? kSuccess : kInvalidImage;
}
API cuModuleLoadData(void **module, const void *image) {
  return cuModuleLoadDataEx(module, image, 0, nullptr, nullptr);
}
API cuModuleUnload(void *) { return kSuccess; }
API cuModuleGetFunction(void **function, void *, const char *name) {
  *function = dlsym(RTLD_DEFAULT, (std::string("kernel_") + name).c_str());
  return *function ? kSuccess : kNotFound;
}
API cuFuncSetBlockShape(void *, int, int, int) { return kSuccess; }
API cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned,
                   unsigned, unsigned, Stream *stream, void **, void **extra) {
  // CU_LAUNCH_PARAM_BUFFER_POINTER, its address, CU_LAUNCH_PARAM_BUFFER_SIZE, the size's address
  const char *buffer = static_cast<const char *>(extra[1]);
  const std::string call(buffer, *static_cast<size_t *>(extra[3]));
  const auto kernel = reinterpret_cast<void (*)(const void *)>(function);
  return put(stream, [=] {
    const unsigned grid[3] = {x, y, z};
    if (shim_launch(kernel, call.data(), grid, threads, 0, kRubbish)) failed = kLaunchFailed;
  });
}

API cuGetErrorString(int, const char **text) { return *text = "as the fake says", kSuccess; }
API cuGetErrorName(int, const char **text) { return *text = "FAKE", kSuccess; }
