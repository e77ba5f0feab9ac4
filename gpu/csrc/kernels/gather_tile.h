// The tiles of a gather: rows at a constant distance, read in place.
#ifndef TM_GATHER_TILE_H
#define TM_GATHER_TILE_H

#include "gather_plan.h"

namespace tmk {
namespace {

// Rows at constant distances: where they are read, and where their sums are.
struct Rows {
  const float *left;
  int64_t step;
  float *out;
  int64_t out_step;
  Rows after(int64_t count) const {
    return {left + count * step, step, out + count * out_step, out_step};
  }
};

template <int kCount>
struct Times {
  static constexpr int value = kCount;
};

// out[kRows][kPanel] += the plan's elements of rows `step` apart, times right[..][kPanel].
template <int kRows>
void gather_tile(const float *left, int64_t step, const Plan &plan, const float *right, float *out,
                 int64_t row) {
  constexpr int kBases = (kRows + 2) / 3;  // one pointer is kept for three rows
  const Turn turn = plan.turn;             // stores could change the plan's
  Floats sum[kRows][2];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; r++) sum[r][0] = sum[r][1] = Floats{};
  for (int s = 0; s < plan.count; s++) {
    const Segment &segment = plan.segments[s];
    const float *base[kBases], *weights = right + segment.k * kPanel;
#pragma GCC unroll 8
    for (int b = 0; b < kBases; b++) base[b] = left + segment.from + 3 * b * step;
    const auto steps = [&](auto times) __attribute__((always_inline)) {
      // Else compilers keep a pointer for each row, more than there are registers.
#pragma GCC unroll 8
      for (int b = 0; b < kBases; b++) asm volatile("" : "+r"(base[b]));
#pragma GCC unroll 4
      for (int i = 0; i < times.value; i++) {
        asm volatile("" : : : "memory");  // nor are there registers for loads ahead
        const Floats near = load(weights + i * kPanel), far = load(weights + i * kPanel + kLanes);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; r++) {
          const Floats factor = broadcast(base[r / 3][r % 3 * step + i]);
          sum[r][0] = fma(factor, near, sum[r][0]);
          sum[r][1] = fma(factor, far, sum[r][1]);
        }
      }
#pragma GCC unroll 8
      for (int b = 0; b < kBases; b++) base[b] += times.value;
      weights += times.value * kPanel;
    };
    for (int32_t n = segment.count; n > 0; n -= kLine) {  // loops whose ends are foreseen
      const int32_t line = n < kLine ? n : kLine;
      for (int32_t i = line / 2; i > 0; i--) steps(Times<2>{});
      if (line % 2) steps(Times<1>{});
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; r++)
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
      float *place = out + r * row + half * kLanes;
      const Floats total = (turn.first ? Floats{} : load(place)) + sum[r][half];
      store(place, turn.last ? canonical(total) : total);
    }
}

// Tiles one after the other. Each asks for a part of the next chunk's weights, from `ahead` on, so
// that a block has all of them near in time; gives where the next part starts. To ask for what is
// beyond the weights does nothing.
template <int kRows>
const float *gather_tiles(const Rows &rows, int64_t tiles, const Plan &plan, const float *right,
                          const float *ahead) {
  constexpr int64_t kAhead = rounded_up(kRows * kChunk * kPanel / kFewestPixels, kLine);
  const int64_t step = rows.step, row = rows.out_step;
  const float *left = rows.left;
  for (float *out = rows.out; tiles > 0; tiles--, left += kRows * step, out += kRows * row) {
    for (const float *end = ahead + kAhead; ahead < end; ahead += kLine)
      __builtin_prefetch(ahead, 0, 2);
    gather_tile<kRows>(left, step, plan, right, out, row);
  }
  return ahead;
}

using GatherTiles = const float *(*)(const Rows &, int64_t, const Plan &, const float *,
                                     const float *);

template <int kRows>
GatherTiles gather_tiles_of(int64_t rows) {
  if constexpr (kRows == 1) return gather_tiles<1>;
  else return rows == kRows ? gather_tiles<kRows> : gather_tiles_of<kRows - 1>(rows);
}

}  // namespace
}  // namespace tmk

#endif
