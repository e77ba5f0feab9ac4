// What CUDA kernels are made of, beside the maths. A kernel takes one structure by value:
//
//   TM_KERNEL(name, threads, Call) { ... call.out[...] ... }
//
// The same texts run on the CPU in the tests, where TM_SHIM names a header that gives threads,
// barriers and instructions of the device to a C++ compiler (tests/unit/gpu/cuda/fibers.h).
#ifndef TM_CUDA_DEVICE_H
#define TM_CUDA_DEVICE_H

#ifdef TM_SHIM
#include TM_SHIM
#else
#include "intrinsics.h"
#endif

#include "../math/elements.h"
#include "../tmkernels.h"

namespace tmk {
namespace {

constexpr int kWarp = 32;

TM_FN int64_t smaller_of(int64_t a, int64_t b) { return a < b ? a : b; }
TM_FN int64_t divided_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// function(i) for every element of a block's share, kEach to a thread. Reading all of a share before
// any of it is written lets the loads overlap.
template <int kThreads, int kEach, typename Read, typename Write>
TM_FN void each_element(int64_t count, Read read, Write write) {
  const int64_t first = int64_t{blockIdx.x} * (kThreads * kEach) + threadIdx.x;
  decltype(read(int64_t{})) values[kEach];
#pragma unroll
  for (int i = 0; i < kEach; i++)
    if (first + i * kThreads < count) values[i] = read(first + i * kThreads);
#pragma unroll
  for (int i = 0; i < kEach; i++)
    if (first + i * kThreads < count) write(first + i * kThreads, values[i]);
}

constexpr int kElementThreads = 256, kElementsEach = 4;

}  // namespace
}  // namespace tmk

#endif
