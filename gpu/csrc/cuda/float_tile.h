// Products of floats in the order C256 (docs/kernels.md): a block makes 128 x 128 entries, a thread
// 8 x 8 of them, each a chain of fma over a chunk of 256 inner elements that is then added to the
// entry's total. Sixteen inner elements lie in shared memory while the next sixteen are read.
//
// Beyond the operands both sides are +0. That changes no bit: a chunk's chain could only turn from
// -0 to +0, and the total it is added to starts with +0.
#ifndef TM_CUDA_FLOAT_TILE_H
#define TM_CUDA_FLOAT_TILE_H

#include "device.h"

namespace tmk {
namespace {

constexpr int kFloatTile = 128, kFloatThreads = 256, kFloatInner = 16, kChunk = 256;
constexpr int kChunkSteps = kChunk / kFloatInner;
constexpr int kFloatBeside = 2;  // blocks: while one waits, the other multiplies
constexpr int kEach = 8, kHalf = kEach / 2;  // a thread's rows and columns: 4, and 4 others further
constexpr int kRowHalf = 16, kColumnHalf = 32;  // how much further
constexpr int kFetched = kFloatTile * kFloatInner / kFloatThreads;
constexpr int kFloatRow = kFloatTile + 4;

// One side of a product, [inner][outer] in shared memory.
struct alignas(16) FloatSide {
  float at[kFloatInner][kFloatRow];
};

// Four floats as they are read from shared memory.
struct alignas(16) Four {
  float at[4];
};

// What an operand may have in place of a number that has no part in a sum. Numbers of such an operand
// are canonical, so that none is taken for it.
constexpr uint32_t kAbsent = 0x7fffffffu;
TM_FN float absent() { return from_bits(kAbsent); }

// The first row and column of a tile.
struct Corner {
  int64_t row, column;
};

// An operand brings sixteen inner elements at a time to shared memory: `start` begins to, `left` of
// them being there, `finish` ends it after the tile has been multiplied with what came before.

// One by one, kept in registers on the way. Threads run along the dimension whose neighbours lie
// together.
template <bool kInnerTogether>
struct Scattered {
  float fetched[kFetched];

  TM_FN int own_outer(int i) const {
    return kInnerTogether ? (threadIdx.x / kFloatInner + i * (kFloatThreads / kFloatInner))
                          : threadIdx.x % kFloatTile;
  }
  TM_FN int own_inner(int i) const {
    return kInnerTogether ? threadIdx.x % kFloatInner
                          : threadIdx.x / kFloatTile + i * (kFloatThreads / kFloatTile);
  }
  TM_FN void finish(FloatSide &side) const {
#pragma unroll
    for (int i = 0; i < kFetched; i++) side.at[own_inner(i)][own_outer(i)] = fetched[i];
  }
};

// A matrix in place, wherever it lies; `data` is its first inner element.
template <bool kInnerTogether>
struct AnyMatrix : Scattered<kInnerTogether> {
  static constexpr bool kGaps = false;
  const float *data;
  int64_t outer_step, inner_step, outer, first;

  TM_FN AnyMatrix(const float *data, int64_t step, int64_t outer, int64_t first)
      : data(data), outer_step(kInnerTogether ? step : 1), inner_step(kInnerTogether ? 1 : step),
        outer(outer), first(first) {}

  TM_FN void start(int left, FloatSide &) {
#pragma unroll
    for (int i = 0; i < kFetched; i++) {
      const int64_t o = first + this->own_outer(i), n = this->own_inner(i);
      this->fetched[i] = o < outer && n < left ? data[o * outer_step + n * inner_step] : 0.0f;
    }
    data += kFloatInner * inner_step;
  }
};

TM_FN Four four_of(const FloatSide &side, int k, int outer) {
  return *reinterpret_cast<const Four *>(&side.at[k][outer]);
}

// Where a tile's entries go.
struct Target {
  float *out;
  int64_t out_row, rows, columns;
  Corner corner;
};

// Four floats, or as many of them as there are; kFours: all or none, and aligned.
template <bool kFours>
TM_FN Four read_four(const float *at, int there) {
  if constexpr (kFours) {
    return there > 0 ? *reinterpret_cast<const Four *>(at) : Four{};
  } else {
    Four read;
#pragma unroll
    for (int e = 0; e < 4; e++) read.at[e] = e < there ? at[e] : 0.0f;
    return read;
  }
}

template <bool kFours>
TM_FN void write_four(float *at, int there, const Four &four) {
  if constexpr (kFours) {
    if (there > 0) *reinterpret_cast<Four *>(at) = four;
  } else {
#pragma unroll
    for (int e = 0; e < 4; e++)
      if (e < there) at[e] = four.at[e];
  }
}

// A thread's entries: the chains of a chunk. Their totals lie where the result will, which costs a
// few reads and writes in 256 steps and leaves registers for a second block beside this one.
struct FloatTile {
  float sum[kEach][kEach];

  TM_FN FloatTile() {
#pragma unroll
    for (int i = 0; i < kEach; i++)
#pragma unroll
      for (int j = 0; j < kEach; j++) sum[i][j] = 0.0f;
  }

  // A warp makes 32 x 64 entries, eight lanes side by side: what they read of either side of a product
  // comes from shared memory at once.
  TM_FN static int own_row() { return threadIdx.x / kWarp / 2 * 32 + threadIdx.x % kWarp / 8 * kHalf; }
  TM_FN static int own_column() {
    return threadIdx.x / kWarp % 2 * 64 + threadIdx.x % 8 * kHalf;
  }

  template <bool kGaps>
  TM_FN void multiply(const FloatSide &left, const FloatSide &right, int k) {
    const int row = own_row(), column = own_column();
    float a[kEach], b[kEach];
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const Four rows = four_of(left, k, row + half * kRowHalf);
      const Four columns = four_of(right, k, column + half * kColumnHalf);
#pragma unroll
      for (int i = 0; i < kHalf; i++) {
        a[half * kHalf + i] = rows.at[i];
        b[half * kHalf + i] = columns.at[i];
      }
    }
    // To and fro: neighbours share an operand, and the compiler finds places for the others in different
    // banks of registers (docs/decisions.md). It is a tenth faster than row by row.
#pragma unroll
    for (int i = 0; i < kEach; i++) {
      if (kGaps && to_bits(a[i]) == kAbsent) continue;
#pragma unroll
      for (int step = 0; step < kEach; step++) {
        const int j = i % 2 ? kEach - 1 - step : step;
        sum[i][j] = fma(a[i], b[j], sum[i][j]);
      }
    }
  }

  // The end of a chunk: `begins` and `ends` say whether it is the first and the last of a total. kRows
  // totals of a column are read at a time, so that one does not wait for memory at each.
  template <bool kFours, int kRows>
  TM_FN void add_up(const Target &to, bool begins, bool ends) {
#pragma unroll
    for (int first = 0; first < kEach; first += kRows) {
      Four totals[kRows][2] = {};
      if (!begins) each_four<kRows>(to, first, [&](int i, int half, float *at, int there) {
        totals[i][half] = read_four<kFours>(at, there);
      });
      each_four<kRows>(to, first, [&](int i, int half, float *at, int there) {
        float *sums = &sum[first + i][half * kHalf];
#pragma unroll
        for (int e = 0; e < 4; e++) {
          const float total = totals[i][half].at[e] + sums[e];
          totals[i][half].at[e] = ends ? canonical(total) : total;
          sums[e] = 0.0f;
        }
        write_four<kFours>(at, there, totals[i][half]);
      });
    }
  }

 private:
  // function(row, half, at, there): the fours of some rows, and how many of one's entries there are.
  template <int kRows, typename Function>
  TM_FN void each_four(const Target &to, int first, Function function) {
    const int64_t row = to.corner.row + own_row() + first / kHalf * kRowHalf + first % kHalf;
    const int64_t column = to.corner.column + own_column();
    const int rows = static_cast<int>(smaller_of(to.rows - row, kRows));
    const int left = static_cast<int>(smaller_of(to.columns - column, kFloatTile));
    float *at = to.out + row * to.out_row + column;
#pragma unroll
    for (int i = 0; i < kRows; i++, at += to.out_row)
#pragma unroll
      for (int half = 0; half < 2; half++)
        function(i, half, at + half * kColumnHalf, i < rows ? left - half * kColumnHalf : 0);
  }
};

struct FloatStages {
  FloatSide left[2], right[2];
};

// A product of `inner` elements each; kFours: the result is written in aligned fours.
template <bool kFours, typename Left, typename Right>
TM_FN void multiply_floats(FloatStages &stages, Left left, Right right, const Target &to,
                           int64_t inner) {
  const int steps = static_cast<int>(divided_up(inner, kFloatInner));
  const int tail = static_cast<int>(inner - int64_t{steps - 1} * kFloatInner);
  const auto start = [&](int step) {
    const int there = step + 1 < steps ? kFloatInner : tail;
    left.start(there, stages.left[step % 2]);
    right.start(there, stages.right[step % 2]);
    bundle_copies();
  };
  const auto finish = [&](int step) {
    left.finish(stages.left[step % 2]);
    right.finish(stages.right[step % 2]);
    await_copies<0>();
    __syncthreads();
  };
  FloatTile tile;
  start(0);
  finish(0);
  for (int step = 0; step < steps; step++) {
    const bool more = step + 1 < steps;
    if (more) start(step + 1);
#pragma unroll
    for (int i = 0; i < kFloatInner; i++)
      tile.multiply<Left::kGaps>(stages.left[step % 2], stages.right[step % 2], i);
    if (more) finish(step + 1);
    if (!more || (step + 1) % kChunkSteps == 0)
      tile.add_up<kFours, Left::kGaps ? 1 : 2>(to, step < kChunkSteps, !more);
  }
}

TM_FN Corner corner_of_block() {
  return {int64_t{blockIdx.y} * kFloatTile, int64_t{blockIdx.x} * kFloatTile};
}

}  // namespace
}  // namespace tmk

#endif
