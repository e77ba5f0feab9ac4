// Products of float matrices in the order C256: an entry of the result is +0 + c_0 + c_1 + ..., and
// c_i one chain of fma over the inner elements [256 i, 256 i + 256), from +0. Vectors run over
// columns, never over the inner dimension, so the order is the same for any shape, blocking and
// number of threads. Zeros packed beyond the matrices change nothing: they are not stored.
#ifndef TM_GEMM_H
#define TM_GEMM_H

#include "lanes.h"

#include "../host/parallel.h"
#include "../host/workspace.h"
#include "../math/elements.h"

namespace tmk {
namespace {

constexpr int64_t kChunk = 256;
constexpr int64_t kPanel = 2 * kLanes;           // columns of a packed panel
constexpr int64_t kBlockRows = 32 * kTileRows;   // their chunk stays in the second cache
constexpr int64_t kLeftRow = kChunk + 16;        // no two packed rows start in one cache set

constexpr int64_t kLine = 16;  // floats in a line of the caches

// Where a tile stands in the sequence of chunks.
struct Turn {
  bool first, last;
};

// out[kRows][kPanel] += left[kRows][depth] right[depth][kPanel]. `soon`: `depth` floats that other
// tiles will read.
template <int kRows>
void multiply_tile(const float *left, const float *right, const float *soon, int64_t depth,
                   float *out, int64_t row, Turn turn) {
  Floats sum[kRows][2];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; r++) {
    sum[r][0] = sum[r][1] = Floats{};
    __builtin_prefetch(out + r * row, 1);
    __builtin_prefetch(out + r * row + kPanel - 1, 1);
  }
  for (int64_t k = 0; k < depth; k += kLine) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; r++)  // the tile after this one
      __builtin_prefetch(left + (kRows + r) * kLeftRow + k);
    __builtin_prefetch(soon + k, 0, 2);
    const int64_t last = least(k + kLine, depth);
#pragma GCC unroll 4
    for (int64_t i = k; i < last; i++, right += kPanel) {
      const Floats near = load(right), far = load(right + kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; r++) {
        const Floats factor = broadcast(left[r * kLeftRow + i]);
        sum[r][0] = fma(factor, near, sum[r][0]);
        sum[r][1] = fma(factor, far, sum[r][1]);
      }
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

using Tile = void (*)(const float *, const float *, const float *, int64_t, float *, int64_t, Turn);

template <int kRows>
Tile tile_of(int64_t rows) {
  if constexpr (kRows == 1) return multiply_tile<1>;
  else return rows == kRows ? multiply_tile<kRows> : tile_of<kRows - 1>(rows);
}

// A matrix of floats by its strides.
struct View {
  const float *data;
  int64_t row, column;
  const float *at(int64_t i, int64_t j) const { return data + i * row + j * column; }
};

// Rows i .. i+height-1 of `view`, inner elements k .. k+depth-1, as packed[height][kLeftRow]. What
// is written beyond a row is written again by the next one, or has room.
inline void pack_rows(View view, int64_t i, int64_t height, int64_t k, int64_t depth,
                      float *packed) {
  if (view.column == 1) {
    for (int64_t r = 0; r < height; r++)
      memcpy(packed + r * kLeftRow, view.at(i + r, k), depth * sizeof(float));
    return;
  }
  int64_t r = 0;
  for (; view.row == 1 && r + kLanes <= height; r += kLanes)
    for (int64_t done = 0; done < depth; done += kLanes) {
      Words block[kLanes];
      for (int c = 0; c < kLanes; c++)
        block[c] = done + c < depth ? to_bits(load(view.at(i + r, k + done + c))) : Words{};
      transpose(block);
      for (int c = 0; c < kLanes; c++)
        store(packed + (r + c) * kLeftRow + done, from_bits(block[c]));
    }
  for (; r < height; r++)
    for (int64_t c = 0; c < depth; c++) packed[r * kLeftRow + c] = *view.at(i + r, k + c);
}

// All tiles of a block of rows and one panel of columns; a panel that is not whole goes through
// memory of its own.
inline void multiply_panel(const float *left, int64_t height, const float *right,
                           const float *soon, int64_t depth, float *out, int64_t row,
                           int64_t width, Turn turn) {
  alignas(64) float spare[kTileRows * kPanel];
  for (int64_t r = 0; r < height; r += kTileRows) {
    const int64_t rows = least(kTileRows, height - r);
    const Tile tile = tile_of<kTileRows>(rows);
    float *place = out + r * row;
    const float *part = soon + r / kTileRows % kPanel * depth;  // each tile fetches a part
    if (width == kPanel) {
      tile(left + r * kLeftRow, right, part, depth, place, row, turn);
      continue;
    }
    for (int64_t i = 0; i < rows && !turn.first; i++)
      memcpy(spare + i * kPanel, place + i * row, width * sizeof(float));
    tile(left + r * kLeftRow, right, part, depth, spare, kPanel, turn);
    for (int64_t i = 0; i < rows; i++)
      memcpy(place + i * row, spare + i * kPanel, width * sizeof(float));
  }
}

// A product with packed columns. `Right` has panel(number, k, depth, spare): inner elements k ..
// k+depth-1 of a panel as floats [depth][kPanel], in place or unpacked into `spare`; and
// soon(number, k): where they lie.
template <typename Right>
struct BlockedProduct {
  View left;
  Right right;
  float *out;
  int64_t rows, inner, columns, out_row;
  float *memory;  // part(worker) of each worker
  static constexpr int64_t kLeftPart = kBlockRows * kLeftRow;
  static constexpr int64_t kPart = kLeftPart + kChunk * kPanel;

  void multiply(int64_t i, int64_t height, int64_t first_panel, int64_t last_panel, int worker) {
    float *packed = memory + worker * kPart, *spare = packed + kLeftPart;
    for (int64_t k = 0; k < inner; k += kChunk) {
      const int64_t depth = least(kChunk, inner - k);
      const Turn turn{k == 0, k + kChunk >= inner};
      pack_rows(left, i, height, k, depth, packed);
      for (int64_t panel = first_panel; panel < last_panel; panel++) {
        const int64_t column = panel * kPanel;
        multiply_panel(packed, height, right.panel(panel, k, depth, spare),
                       right.soon(panel + 1, k), depth, out + i * out_row + column, out_row,
                       least(kPanel, columns - column), turn);
      }
    }
  }

  // Tasks are blocks of rows, as many for each thread, cut by columns too where there are few.
  void run(tmk_pool *pool) {
    const int64_t fewest = (rows + kBlockRows - 1) / kBlockRows, threads = threads_of(pool);
    const int64_t blocks = fewest > threads ? rounded_up(fewest, threads) : fewest;
    const int64_t height = rounded_up((rows + blocks - 1) / blocks, kTileRows);
    const int64_t panels = (columns + kPanel - 1) / kPanel;
    const int64_t wanted = threads == 1 ? 1 : 4 * threads;
    const int64_t groups = least((wanted + blocks - 1) / blocks, panels);
    parallel(pool, blocks * groups, [&](int64_t task, int worker) {
      const int64_t i = task / groups * height, group = task % groups;
      if (i < rows)
        multiply(i, least(height, rows - i), panels * group / groups,
                 panels * (group + 1) / groups, worker);
    });
  }
};

}  // namespace
}  // namespace tmk

#endif
