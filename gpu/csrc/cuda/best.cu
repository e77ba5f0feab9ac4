// The largest of each row, a block to each. The order of (value, index) is total and made one
// number, so that any way of selecting gives the same answer: here one after another, where a thread
// knows the best of its own elements and looks for another only when that one was taken.
#include "cuda/device.h"
#include "math/order.h"

namespace {

constexpr int kThreads = 256, kWarps = kThreads / tmk::kWarp;

// Larger values have larger places, of equal ones the smaller index has; never 0.
TM_FN uint64_t place_of(float x, int64_t index) {
  const uint32_t key = static_cast<uint32_t>(tmk::order_key(x)) ^ 0x80000000u;
  return static_cast<uint64_t>(key) << 32 | (0xffffffffu - static_cast<uint32_t>(index));
}

// The best of a thread's elements that is worse than `taken`, or 0.
TM_FN uint64_t best_below(const float *row, int64_t width, uint64_t taken, bool any) {
  uint64_t best = 0;
  for (int64_t i = threadIdx.x; i < width; i += kThreads) {
    const uint64_t place = place_of(row[i], i);
    if (place > best && (any || place < taken)) best = place;
  }
  return best;
}

TM_FN uint64_t block_best(uint64_t place, uint64_t warps[kWarps]) {
#pragma unroll
  for (int distance = 1; distance < tmk::kWarp; distance *= 2) {
    const uint64_t other = tmk::exchanged(place, distance);
    place = other > place ? other : place;
  }
  if (threadIdx.x % tmk::kWarp == 0) warps[threadIdx.x / tmk::kWarp] = place;
  __syncthreads();
  for (int warp = 0; warp < kWarps; warp++) place = warps[warp] > place ? warps[warp] : place;
  __syncthreads();
  return place;
}

}  // namespace

TM_KERNEL(best, kThreads, tmk_best) {
  __shared__ uint64_t warps[kWarps];
  const int64_t row = blockIdx.x;
  const float *in = call.in + row * call.width;
  uint64_t mine = best_below(in, call.width, 0, true);
  for (int64_t k = 0; k < call.count; k++) {
    const uint64_t winner = block_best(mine, warps);
    const int32_t index = static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(winner));
    if (winner != mine) continue;
    call.indices[row * call.count + k] = index;
    if (call.values) call.values[row * call.count + k] = tmk::canonical(in[index]);
    mine = best_below(in, call.width, winner, false);
  }
}
