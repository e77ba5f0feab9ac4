// Products with packed float weights in the order C256: reference/linear.cpp is the definition.
#include "cuda/panels.h"

namespace {

constexpr int kThreads = 256, kWarps = kThreads / tmk::kWarp;

// A thread makes a piece.
template <typename Piece>
TM_FN void pack(const tmk_packing &call) {
  const int64_t at = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int64_t pieces = tmk::divided_up(call.inner, Piece::kInner);
  const int64_t number = at / tmk::kPanel % pieces;
  const int64_t column = at / tmk::kPanel / pieces * tmk::kPanel + at % tmk::kPanel;
  if (column / tmk::kPanel >= tmk::divided_up(call.columns, tmk::kPanel)) return;
  tmk::Aligned<Piece> made = {};
#pragma unroll
  for (int i = 0; i < Piece::kInner; i++) {
    const int64_t k = number * Piece::kInner + i;
    if (k < call.inner && column < call.columns)
      made.piece.set(i, call.weights[k * call.weights_row + column * call.weights_column]);
  }
  static_cast<tmk::Aligned<Piece> *>(call.packed)[at] = made;
}

template <typename Piece>
TM_FN tmk::Panels<Piece> panels_of(const tmk_linear &call) {
  return {static_cast<const tmk::Aligned<Piece> *>(call.packed), call.inner, call.columns};
}

template <typename Piece>
TM_FN void multiply_many(const tmk_linear &call, tmk::FloatStages &stages) {
  const tmk::PlainOperand<true> left{call.left, call.left_row, 1, call.rows, call.inner};
  tmk::multiply_floats(stages, left, panels_of<Piece>(call), call.out, call.out_row);
}

// For a few rows: a block reads a panel once. Each warp makes sums of chunks, lane = column; they are
// added in ascending order by the thread that owns the entry.
template <typename Piece, int kRows>
TM_FN void multiply_few(const tmk_linear &call, float (*sums)[kRows][tmk::kPanel]) {
  const int lane = threadIdx.x % tmk::kWarp, warp = threadIdx.x / tmk::kWarp;
  const int64_t column = int64_t{blockIdx.x} * tmk::kPanel + lane;
  const int64_t first_row = int64_t{blockIdx.y} * kRows;
  const tmk::Panels<Piece> panels = panels_of<Piece>(call);
  const float *left[kRows];
#pragma unroll
  for (int r = 0; r < kRows; r++)
    left[r] = call.left + tmk::smaller_of(first_row + r, call.rows - 1) * call.left_row;
  float total = 0.0f;
  for (int64_t start = 0; start < call.inner; start += kWarps * tmk::kChunk) {
    const int64_t first = start + warp * tmk::kChunk;
    const int64_t last = tmk::smaller_of(first + tmk::kChunk, call.inner);
    float sum[kRows] = {};
#pragma unroll 4
    for (int64_t k = first; k < last; k += Piece::kInner) {
      const Piece weights = panels.piece(column, k / Piece::kInner);
#pragma unroll
      for (int i = 0; i < Piece::kInner; i++)
#pragma unroll
        for (int r = 0; r < kRows; r++)
          sum[r] = tmk::fma(k + i < last ? left[r][k + i] : 0.0f, weights.at(i), sum[r]);
    }
#pragma unroll
    for (int r = 0; r < kRows; r++) sums[warp][r][lane] = sum[r];
    __syncthreads();
    for (int w = 0; w < kWarps && start + w * tmk::kChunk < call.inner; w++)
      if (warp < kRows) total = total + sums[w][warp][lane];
    __syncthreads();
  }
  const int64_t row = first_row + warp;
  if (warp < kRows && row < call.rows && column < call.columns)
    call.out[row * call.out_row + column] = tmk::canonical(total);
}

}  // namespace

#define TM_LINEAR(kind, Piece)                                                       \
  TM_KERNEL(pack_##kind, kThreads, tmk_packing) { pack<Piece>(call); }               \
  TM_KERNEL(linear_##kind##_many, tmk::kFloatThreads, tmk_linear) {                  \
    __shared__ tmk::FloatStages stages;                                              \
    multiply_many<Piece>(call, stages);                                              \
  }                                                                                  \
  TM_KERNEL(linear_##kind##_1, kThreads, tmk_linear) {                               \
    __shared__ float sums[kWarps][1][tmk::kPanel];                                   \
    multiply_few<Piece, 1>(call, sums);                                              \
  }                                                                                  \
  TM_KERNEL(linear_##kind##_4, kThreads, tmk_linear) {                               \
    __shared__ float sums[kWarps][4][tmk::kPanel];                                   \
    multiply_few<Piece, 4>(call, sums);                                              \
  }
TM_LINEAR(f32, tmk::FloatPiece)
TM_LINEAR(bf16, tmk::HalfPiece)
