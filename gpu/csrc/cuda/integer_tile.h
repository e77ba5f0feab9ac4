// Products of signed bytes on tensor cores: a block makes a tile of the result from operands that
// were laid out with their inner elements together (lay_out.cu). Sums are exact, so there is no
// order to keep.
//
// A block of 8 warps makes 128 x 128 entries, a warp 64 x 32 of them. Three stages of 64 inner
// elements lie in shared memory: one is multiplied while two are on their way.
#ifndef TM_CUDA_INTEGER_TILE_H
#define TM_CUDA_INTEGER_TILE_H

#include "calls.h"
#include "device.h"

namespace tmk {
namespace {

constexpr int kTile = 128, kTileThreads = 256, kStageInner = 64, kStages = 3, kStep = 32;
constexpr int kWarpRows = 64, kWarpColumns = 32;
constexpr int kDown = kWarpRows / 16, kAcross = kWarpColumns / 8;  // mma tiles of a warp

struct alignas(16) IntegerStage {
  int8_t left[kTile * kStageInner], right[kTile * kStageInner];
};

// Where 16 bytes of a row lie: eight rows that are read together are in different banks.
TM_FN int place_in_stage(int row, int part) {
  return row * kStageInner + ((part ^ (row >> 1 & 3)) * 16);
}

// One step of the tensor cores, on every device the same.
TM_FN void multiply_step(int32_t sum[4], const uint32_t left[4], const uint32_t right[2]) {
#if TM_ARCH >= 800
  multiply_16_8_32(sum, left, right);
#else
#pragma unroll
  for (int half = 0; half < 2; half++) {
    multiply_8_8_16(sum, left[2 * half], right[half]);
    multiply_8_8_16(sum + 2, left[2 * half + 1], right[half]);
  }
#endif
}

// What one warp multiplies, and where it stands in the result.
struct IntegerTile {
  int32_t sum[kDown][kAcross][4];
  int64_t first_row, first_column;  // of the block
  int warp_row, warp_column;        // within it

  TM_FN IntegerTile() {
    first_row = int64_t{blockIdx.y} * kTile;
    first_column = int64_t{blockIdx.x} * kTile;
    const int warp = threadIdx.x / kWarp;
    warp_row = warp / 4 * kWarpRows;
    warp_column = warp % 4 * kWarpColumns;
    clear();
  }

  TM_FN void clear() {
#pragma unroll
    for (int i = 0; i < kDown; i++)
#pragma unroll
      for (int j = 0; j < kAcross; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) sum[i][j][e] = 0;
  }

  // sum += the products of 32 inner elements of a stage.
  TM_FN void multiply(const IntegerStage &stage, int step) {
    const int lane = threadIdx.x % kWarp, row = lane % 16, part = step * 2 + lane / 16;
    uint32_t left[kDown][4], right[kAcross / 2][4];
#pragma unroll
    for (int i = 0; i < kDown; i++)
      load_matrices(stage.left + place_in_stage(warp_row + i * 16 + row, part), left[i]);
#pragma unroll
    for (int j = 0; j < kAcross / 2; j++)
      load_matrices(stage.right + place_in_stage(warp_column + j * 16 + row, part), right[j]);
#pragma unroll
    for (int i = 0; i < kDown; i++)
#pragma unroll
      for (int j = 0; j < kAcross; j++) {
        const uint32_t column[2] = {right[j / 2][j % 2], right[j / 2][j % 2 + 2]};
        multiply_step(sum[i][j], left[i], column);
      }
  }

  // function(row, column, i, j, e) for every entry of the lane that is in the result.
  template <typename Function>
  TM_FN void each_entry(int64_t rows, int64_t columns, Function function) const {
    const int lane = threadIdx.x % kWarp;
#pragma unroll
    for (int i = 0; i < kDown; i++)
#pragma unroll
      for (int j = 0; j < kAcross; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
          const int64_t row = first_row + warp_row + i * 16 + lane / 4 + e / 2 * 8;
          const int64_t column = first_column + warp_column + j * 8 + lane % 4 * 2 + e % 2;
          if (row < rows && column < columns) function(row, column, i, j, e);
        }
  }
};

// 128 rows of an operand from inner element `k` on; rows beyond it are the last one again, and what
// comes of them is not stored.
TM_FN void start_stage_side(int8_t *side, const int8_t *operand, int64_t first, int64_t outer,
                            int64_t padded, int64_t k) {
#pragma unroll
  for (int i = 0; i < kTile * kStageInner / 16 / kTileThreads; i++) {
    const int piece = threadIdx.x + i * kTileThreads, row = piece / 4, part = piece % 4;
    const int64_t from = smaller_of(first + row, outer - 1);
    start_copy(side + place_in_stage(row, part), operand + from * padded + k + part * 16);
  }
}

template <typename Call>
TM_FN void start_stage(IntegerStage &stage, const Call &call, const IntegerTile &tile, int64_t k) {
  if (k < call.padded) {
    start_stage_side(stage.left, call.left, tile.first_row, call.rows, call.padded, k);
    start_stage_side(stage.right, call.right, tile.first_column, call.columns, call.padded, k);
  }
  bundle_copies();
}

// Goes through the inner elements; done(k) after each 32 of them, k being how many there were.
template <typename Call, typename Done>
TM_FN void multiply_all(IntegerTile &tile, IntegerStage stages[kStages], const Call &call,
                        Done done) {
#pragma unroll
  for (int i = 0; i < kStages - 1; i++) start_stage(stages[i], call, tile, i * kStageInner);
  int current = 0;
  for (int64_t k = 0; k < call.padded; k += kStageInner) {
    await_copies<kStages - 2>();
    __syncthreads();
    const int next = current == 0 ? kStages - 1 : current - 1;
    start_stage(stages[next], call, tile, k + (kStages - 1) * kStageInner);
#pragma unroll
    for (int step = 0; step < kStageInner / kStep; step++) {
      tile.multiply(stages[current], step);
      done(k + (step + 1) * kStep);
    }
    current = current == kStages - 1 ? 0 : current + 1;
  }
}

}  // namespace
}  // namespace tmk

#endif
