// The order L128 (docs/kernels.md) by a block: 128 threads are the lanes of a run of 4096 elements,
// and where a row has more, other 128 threads of the block take the next runs.
#ifndef TM_CUDA_L128_H
#define TM_CUDA_L128_H

#include "device.h"

namespace tmk {
namespace {

constexpr int kRowLanes = 128, kRun = 4096, kMostRuns = 8;  // at a time
constexpr int kRowThreads = kRowLanes * kMostRuns, kRowWarps = kRowThreads / kWarp;

// Neighbouring lanes are added until the warp is one; a + b is b + a to the bit.
TM_FN float warp_tree(float sum) {
#pragma unroll
  for (int distance = 1; distance < kWarp; distance *= 2) sum = sum + exchanged(sum, distance);
  return sum;
}

// The sum of `term(sum so far, element)`, the same for every thread of the block. What threads wrote
// before, in `term` too, all of them see after.
template <typename Term>
TM_FN float row_sum(int64_t width, float warps[kRowWarps], Term term) {
  const int lane = threadIdx.x % kRowLanes, runs = blockDim.x / kRowLanes;
  float total = 0.0f;
  for (int64_t start = 0; start < width; start += int64_t{runs} * kRun) {
    const int64_t first = start + int64_t{threadIdx.x / kRowLanes} * kRun;
    const int64_t last = smaller_of(first + kRun, width);
    float sum = 0.0f;
    for (int64_t i = first + lane; i < last; i += kRowLanes) sum = term(sum, i);
    sum = warp_tree(sum);
    if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = sum;
    __syncthreads();
    for (int run = 0; run < runs && start + int64_t{run} * kRun < width; run++) {
      const float *w = warps + run * (kRowLanes / kWarp);
      const float part = (w[0] + w[1]) + (w[2] + w[3]);
      total = start == 0 && run == 0 ? part : total + part;
    }
    __syncthreads();
  }
  return total;
}

// function(i) for the elements of a row.
template <typename Function>
TM_FN void each_of_row(int64_t width, Function function) {
  for (int64_t i = threadIdx.x; i < width; i += blockDim.x) function(i);
}

// The largest of the block's values by `larger`, the same for every thread.
TM_FN float block_largest(float value, float warps[kRowWarps]) {
#pragma unroll
  for (int distance = 1; distance < kWarp; distance *= 2)
    value = larger(exchanged(value, distance), value);
  if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = value;
  __syncthreads();
  for (int warp = 0; warp < static_cast<int>(blockDim.x) / kWarp; warp++)
    value = larger(warps[warp], value);
  __syncthreads();
  return value;
}

}  // namespace
}  // namespace tmk

#endif
