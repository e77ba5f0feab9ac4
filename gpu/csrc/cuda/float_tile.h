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

// An operand in place. Threads run along the dimension whose neighbours lie together.
template <bool kInnerTogether>
struct PlainOperand {
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
    for (int i = 0; i < kEach; i++)
#pragma unroll
      for (int j = 0; j < kEach; j++) sum[i][j] = fma(a[i], b[j], sum[i][j]);
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

  TM_FN void store(float *out, int64_t out_row, int64_t rows, int64_t columns) const {
#pragma unroll
    for (int i = 0; i < kEach; i++)
#pragma unroll
      for (int j = 0; j < kEach; j++) {
        const int64_t row = int64_t{blockIdx.y} * kFloatTile + threadIdx.x / 16 * kHalf +
                            i / kHalf * 64 + i % kHalf;
        const int64_t column = int64_t{blockIdx.x} * kFloatTile + threadIdx.x % 16 * kHalf +
                               j / kHalf * 64 + j % kHalf;
        if (row < rows && column < columns) out[row * out_row + column] = canonical(total[i][j]);
      }
  }
};

struct FloatStages {
  FloatSide left[2], right[2];
};

template <typename Left, typename Right>
TM_FN void multiply_floats(FloatTile &tile, FloatStages &stages, const Left &left,
                           const Right &right, int64_t inner) {
  const int64_t row = int64_t{blockIdx.y} * kFloatTile, column = int64_t{blockIdx.x} * kFloatTile;
  float next_left[kFetched], next_right[kFetched];
  left.fetch(row, 0, next_left);
  right.fetch(column, 0, next_right);
  for (int64_t k = 0, stage = 0; k < inner; k += kFloatInner, stage ^= 1) {
    left.keep(next_left, stages.left[stage]);
    right.keep(next_right, stages.right[stage]);
    __syncthreads();
    if (k + kFloatInner < inner) {
      left.fetch(row, k + kFloatInner, next_left);
      right.fetch(column, k + kFloatInner, next_right);
    }
#pragma unroll 8
    for (int i = 0; i < kFloatInner; i++) tile.multiply(stages.left[stage], stages.right[stage], i);
    if ((k + kFloatInner) % kChunk == 0 || k + kFloatInner >= inner) tile.add_up();
  }
}

}  // namespace
}  // namespace tmk

#endif
