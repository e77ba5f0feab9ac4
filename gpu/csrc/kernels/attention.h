// One block of keys for a few rows, each a query of one head: scores, powers, weighted values.
// Vectors run over keys for scores and over elements for values, never along a chain.
#ifndef TM_ATTENTION_TILES_H
#define TM_ATTENTION_TILES_H

#include "lanes.h"

#include "../attention.h"
#include "../math/exponential.h"

namespace tmk {
namespace {

constexpr int kKeyVectors = kKeyBlock / kLanes;

// So many vectors of sums per row that `rows` rows fill the registers.
constexpr int vectors_for(int rows) {
  int vectors = kKeyVectors;
  while (rows * vectors > 2 * kTileRows) vectors /= 2;
  return vectors;
}

// scores[kRows][kKeyBlock] = queries[kRows][size] keys[size][kKeyBlock], those of the span and
// perhaps some beside it.
template <int kRows>
void score_tile(const float *queries, const float *keys, int64_t size, Span span, float *scores) {
  constexpr int kVectors = vectors_for(kRows);
  constexpr int64_t kStep = kVectors * kLanes;
  for (int64_t j = span.first / kStep * kStep; j < span.end; j += kStep) {
    Floats sum[kRows][kVectors] = {};
    const float *key = keys + j;
#pragma GCC unroll 4
    for (int64_t d = 0; d < size; d++, key += kKeyBlock) {
#pragma GCC unroll 16
      for (int r = 0; r < kRows; r++) {
        const Floats factor = broadcast(queries[r * size + d]);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; v++)
          sum[r][v] = fma(factor, load(key + v * kLanes), sum[r][v]);
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; r++)
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; v++) store(scores + r * kKeyBlock + j + v * kLanes, sum[r][v]);
  }
}

// out[kRows][width] (+)= powers[kRows][kKeyBlock] values[kKeyBlock][width] over the span, for the
// columns from `column` on; `fresh`: from +0.
template <int kRows, int kVectors = vectors_for(kRows)>
TM_FN void weigh_columns(const float *powers, const float *values, Span span, int64_t width,
                         bool fresh, float *out, int64_t column) {
  for (; column + kVectors * kLanes <= width; column += kVectors * kLanes) {
    Floats sum[kRows][kVectors] = {};
    if (!fresh)
#pragma GCC unroll 16
      for (int r = 0; r < kRows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; v++) sum[r][v] = load(out + r * width + column + v * kLanes);
    const float *value = values + span.first * width + column;
#pragma GCC unroll 4
    for (int64_t j = span.first; j < span.end; j++, value += width) {
#pragma GCC unroll 16
      for (int r = 0; r < kRows; r++) {
        const Floats factor = broadcast(powers[r * kKeyBlock + j]);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; v++)
          sum[r][v] = fma(factor, load(value + v * kLanes), sum[r][v]);
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; r++)
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; v++) store(out + r * width + column + v * kLanes, sum[r][v]);
  }
  if constexpr (kVectors > 1)
    weigh_columns<kRows, kVectors / 2>(powers, values, span, width, fresh, out, column);
}

template <int kRows>
void weigh_tile(const float *powers, const float *values, Span span, int64_t width, bool fresh,
                float *out) {
  weigh_columns<kRows>(powers, values, span, width, fresh, out, 0);
}

struct TileFunctions {
  void (*score)(const float *, const float *, int64_t, Span, float *);
  void (*weigh)(const float *, const float *, Span, int64_t, bool, float *);
};

template <int kRows = kTileRows>
TileFunctions tile_of(int64_t rows) {
  if constexpr (kRows == 1) return {score_tile<1>, weigh_tile<1>};
  else return rows == kRows ? TileFunctions{score_tile<kRows>, weigh_tile<kRows>}
                            : tile_of<kRows - 1>(rows);
}

// Which places of vector `v` are in a span.
TM_FN Ints places_in(Span span, int v) {
  const Ints place = (Ints)counting() + v * kLanes;
  const Ints first = Ints{} + static_cast<int32_t>(span.first);
  return (place >= first) & (place < Ints{} + static_cast<int32_t>(span.end));
}

inline bool is_whole(Span span) { return span.first == 0 && span.end == kKeyBlock; }

// Scores outside the span become -infinity.
inline void hide(float *scores, Span span) {
  for (int v = 0; v < kKeyVectors; v++) {
    float *place = scores + v * kLanes;
    store(place, choose(places_in(span, v), load(place), all<Floats>(-infinity<float>())));
  }
}

TM_FN float largest_score(const float *scores) {
  Floats top = larger(load(scores), all<Floats>(-infinity<float>()));
#pragma GCC unroll 8
  for (int v = 1; v < kKeyVectors; v++) top = larger(load(scores + v * kLanes), top);
  return largest_lane(top);
}

// Scores become powers: +0 where they are hidden.
TM_FN void raise(float *scores, float most) {
#pragma GCC unroll 8
  for (int v = 0; v < kKeyVectors; v++)
    store(scores + v * kLanes, exp_down(load(scores + v * kLanes) - most));
}

TM_FN float sum_of_powers(const float *powers) {
  Floats sum[kKeyVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kKeyVectors; v++) sum[v] = load(powers + v * kLanes);
#pragma GCC unroll 4
  for (int half = kKeyVectors / 2; half >= 1; half /= 2)
#pragma GCC unroll 4
    for (int v = 0; v < half; v++) sum[v] = sum[v] + sum[v + half];
  return halving_sum(sum[0]);
}

}  // namespace
}  // namespace tmk

#endif
