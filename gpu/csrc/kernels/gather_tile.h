// The tile of a gather: rows at a constant distance, read in place.
#ifndef TM_GATHER_TILE_H
#define TM_GATHER_TILE_H

#include "panels.h"

namespace tmk {
namespace {

// `count` neighbouring inner elements: `from` of a row's own start, k of the panel's chunk.
struct Segment {
  int64_t from;
  int32_t k, count;
};

template <int kCount>
struct Times {
  static constexpr int value = kCount;
};

// out[kRows][kPanel] += the segments' elements of rows `step` apart, times right[..][kPanel].
template <int kRows>
void gather_tile(const float *left, int64_t step, const Segment *segments, int count,
                 const float *right, float *out, int64_t row, Turn turn) {
  constexpr int kBases = (kRows + 2) / 3;  // one pointer is kept for three rows
  Floats sum[kRows][2];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; r++) sum[r][0] = sum[r][1] = Floats{};
  for (int s = 0; s < count; s++) {
    const float *base[kBases], *weights = right + segments[s].k * kPanel;
#pragma GCC unroll 8
    for (int b = 0; b < kBases; b++) base[b] = left + segments[s].from + 3 * b * step;
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
    for (int32_t n = segments[s].count; n > 0; n -= kLine) {
#pragma GCC unroll 16
      for (int r = 0; r < kRows; r++)  // the tile after this one
        __builtin_prefetch(base[r / 3] + (r % 3 + kRows) * step);
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

using GatherTile = void (*)(const float *, int64_t, const Segment *, int, const float *, float *,
                            int64_t, Turn);

template <int kRows>
GatherTile gather_tile_of(int64_t rows) {
  if constexpr (kRows == 1) return gather_tile<1>;
  else return rows == kRows ? gather_tile<kRows> : gather_tile_of<kRows - 1>(rows);
}

}  // namespace
}  // namespace tmk

#endif
