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
constexpr int kEach = 8, kHalf = kEach / 2;  // a thread's rows: 4, and 4 others 64 further
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

// An operand in place. Threads run along the dimension whose neighbours lie together.
template <bool kInnerTogether>
struct PlainOperand {
  static constexpr bool kGaps = false;
  const float *data;
  int64_t outer_step, inner_step, outer, inner;

  TM_FN int own_outer(int i) const {
    return kInnerTogether ? (threadIdx.x / kFloatInner + i * (kFloatThreads / kFloatInner))
                          : threadIdx.x % kFloatTile;
  }
  TM_FN int own_inner(int i) const {
    return kInnerTogether ? threadIdx.x % kFloatInner
                          : threadIdx.x / kFloatTile + i * (kFloatThreads / kFloatTile);
  }
  TM_FN void fetch(int64_t first, int64_t k, float fetched[kFetched]) const {
#pragma unroll
    for (int i = 0; i < kFetched; i++) {
      const int64_t o = first + own_outer(i), n = k + own_inner(i);
      fetched[i] = o < outer && n < inner ? data[o * outer_step + n * inner_step] : 0.0f;
    }
  }
  TM_FN void keep(const float fetched[kFetched], FloatSide &side) const {
#pragma unroll
    for (int i = 0; i < kFetched; i++) side.at[own_inner(i)][own_outer(i)] = fetched[i];
  }
};

TM_FN Four four_of(const FloatSide &side, int k, int outer) {
  return *reinterpret_cast<const Four *>(&side.at[k][outer]);
}

// A thread's entries.
struct FloatTile {
  float total[kEach][kEach], sum[kEach][kEach];

  TM_FN FloatTile() {
#pragma unroll
    for (int i = 0; i < kEach; i++)
#pragma unroll
      for (int j = 0; j < kEach; j++) total[i][j] = sum[i][j] = 0.0f;
  }

  template <bool kGaps>
  TM_FN void multiply(const FloatSide &left, const FloatSide &right, int k) {
    const int row = threadIdx.x / 16 * kHalf, column = threadIdx.x % 16 * kHalf;
    float a[kEach], b[kEach];
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const Four rows = four_of(left, k, row + half * 64);
      const Four columns = four_of(right, k, column + half * 64);
#pragma unroll
      for (int i = 0; i < kHalf; i++) {
        a[half * kHalf + i] = rows.at[i];
        b[half * kHalf + i] = columns.at[i];
      }
    }
#pragma unroll
    for (int i = 0; i < kEach; i++) {
      if (kGaps && to_bits(a[i]) == kAbsent) continue;
#pragma unroll
      for (int j = 0; j < kEach; j++) sum[i][j] = fma(a[i], b[j], sum[i][j]);
    }
  }

  // The end of a chunk.
  TM_FN void add_up() {
#pragma unroll
    for (int i = 0; i < kEach; i++)
#pragma unroll
      for (int j = 0; j < kEach; j++) {
        total[i][j] = total[i][j] + sum[i][j];
        sum[i][j] = 0.0f;
      }
  }

  TM_FN void store(float *out, int64_t out_row, int64_t rows, int64_t columns,
                   Corner corner) const {
#pragma unroll
    for (int i = 0; i < kEach; i++)
#pragma unroll
      for (int j = 0; j < kEach; j++) {
        const int64_t row = corner.row + threadIdx.x / 16 * kHalf + i / kHalf * 64 + i % kHalf;
        const int64_t column = corner.column + threadIdx.x % 16 * kHalf + j / kHalf * 64 + j % kHalf;
        if (row < rows && column < columns) out[row * out_row + column] = canonical(total[i][j]);
      }
  }
};

struct FloatStages {
  FloatSide left[2], right[2];
};

// Inner elements first .. last-1, where first is a chunk's.
template <typename Left, typename Right>
TM_FN void multiply_floats(FloatTile &tile, FloatStages &stages, const Left &left,
                           const Right &right, Corner corner, int64_t first, int64_t last) {
  float next_left[kFetched], next_right[kFetched];
  left.fetch(corner.row, first, next_left);
  right.fetch(corner.column, first, next_right);
  for (int64_t k = first, stage = 0; k < last; k += kFloatInner, stage ^= 1) {
    left.keep(next_left, stages.left[stage]);
    right.keep(next_right, stages.right[stage]);
    __syncthreads();
    if (k + kFloatInner < last) {
      left.fetch(corner.row, k + kFloatInner, next_left);
      right.fetch(corner.column, k + kFloatInner, next_right);
    }
#pragma unroll 8
    for (int i = 0; i < kFloatInner; i++)
      tile.multiply<Left::kGaps>(stages.left[stage], stages.right[stage], i);
    if ((k + kFloatInner) % kChunk == 0 || k + kFloatInner >= last) tile.add_up();
  }
}

// A whole product, blockIdx telling the tile.
template <typename Left, typename Right>
TM_FN void multiply_floats(FloatStages &stages, const Left &left, const Right &right, float *out,
                           int64_t out_row) {
  const Corner corner{int64_t{blockIdx.y} * kFloatTile, int64_t{blockIdx.x} * kFloatTile};
  FloatTile tile;
  multiply_floats(tile, stages, left, right, corner, 0, left.inner);
  tile.store(out, out_row, left.outer, right.outer, corner);
}

}  // namespace
}  // namespace tmk

#endif
