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

// The sum of a row, the same for every thread of the block; own(first, last) is the calling thread's
// part of a run. What threads wrote before, in `own` too, all of them see after.
template <typename Own>
TM_FN float sum_of_runs(int64_t width, float warps[kRowWarps], Own own) {
  const int runs = blockDim.x / kRowLanes;
  float total = 0.0f;
  for (int64_t start = 0; start < width; start += int64_t{runs} * kRun) {
    const int64_t first = start + int64_t{threadIdx.x / kRowLanes} * kRun;
    const float sum = warp_tree(own(first, smaller_of(first + kRun, width)));
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

// The sum of `term(sum so far, element)`.
template <typename Term>
TM_FN float row_sum(int64_t width, float warps[kRowWarps], Term term) {
  return sum_of_runs(width, warps, [&](int64_t first, int64_t last) {
    float sum = 0.0f;
    for (int64_t i = first + threadIdx.x % kRowLanes; i < last; i += kRowLanes) sum = term(sum, i);
    return sum;
  });
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

// A row that the block's threads keep in registers, where they have room for all of it: it is read
// once, all of it at a time. A longer one is read again whenever it is gone through.
struct KeptRow {
  static constexpr int kKept = kRun / kRowLanes;
  const float *in;
  int64_t width, own;  // own: this thread's first element
  bool fits;
  float kept[kKept];

  TM_FN KeptRow(const float *in, int64_t width)
      : in(in), width(width),
        own(int64_t{threadIdx.x / kRowLanes} * kRun + threadIdx.x % kRowLanes),
        fits(width <= int64_t{blockDim.x / kRowLanes} * kRun) {
    each_kept([&](int64_t i, float &x) { x = in[i]; });
  }

  // function(i, x) for the elements of this thread; what it makes of x stays where rows fit.
  template <typename Function>
  TM_FN void each(Function function) {
    if (fits) {
      each_kept(function);
      return;
    }
    each_of_row(width, [&](int64_t i) {
      float x = in[i];
      function(i, x);
    });
  }

  // The sum of `term(sum so far, x)`.
  template <typename Term>
  TM_FN float sum(float warps[kRowWarps], Term term) {
    if (!fits)
      return row_sum(width, warps, [&](float sum, int64_t i) {
        float x = in[i];
        return term(sum, x);
      });
    return sum_of_runs(width, warps, [&](int64_t, int64_t) {
      float sum = 0.0f;
      each_kept([&](int64_t, float &x) { sum = term(sum, x); });
      return sum;
    });
  }

 private:
  template <typename Function>
  TM_FN void each_kept(Function function) {
    if (!fits) return;
#pragma unroll
    for (int j = 0; j < kKept; j++)
      if (own + j * kRowLanes < width) function(own + j * kRowLanes, kept[j]);
  }
};

}  // namespace
}  // namespace tmk

#endif
