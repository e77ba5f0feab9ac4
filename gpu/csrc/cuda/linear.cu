// Products with packed float weights in the order C256: reference/linear.cpp is the definition.
#include "cuda/fours.h"
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
  Piece made = {};
#pragma unroll
  for (int i = 0; i < Piece::kInner; i++) {
    const int64_t k = number * Piece::kInner + i;
    if (k < call.inner && column < call.columns)
      made.set(i, call.weights[k * call.weights_row + column * call.weights_column]);
  }
  static_cast<Piece *>(call.packed)[at] = made;
}

template <typename Piece>
TM_FN tmk::Panels<Piece> panels_of(const tmk_linear &call) {
  return {static_cast<const Piece *>(call.packed), call.inner, call.columns};
}

template <bool kFours, typename Left, typename Piece>
TM_FN void multiply_many(const tmk_linear &call) {
  __shared__ tmk::FloatStages stages;
  const tmk::Corner corner = tmk::corner_of_block();
  const Left left(call.left, call.left_row, call.rows, corner.row);
  const tmk::PanelOperand<Piece> right(panels_of<Piece>(call), corner.column);
  const tmk::Target to{call.out, call.out_row, call.rows, call.columns, corner};
  tmk::multiply_floats<kFours>(stages, left, right, to, call.inner);
}

// For a few rows: a block reads a panel once. Each warp makes sums of chunks, lane = column; they are
// added in ascending order by the thread that owns the entry. The rows' parts lie in shared memory,
// zero beyond the inner elements.
template <int kRows>
struct alignas(16) FewStage {
  float left[kRows][kWarps * tmk::kChunk], sums[kWarps][kRows][tmk::kPanel];
};

template <int kRows>
TM_FN void read_left(FewStage<kRows> &stage, const tmk_linear &call, int64_t first_row,
                     int64_t start) {
#pragma unroll
  for (int r = 0; r < kRows; r++) {
    const float *row = call.left + tmk::smaller_of(first_row + r, call.rows - 1) * call.left_row;
    for (int k = threadIdx.x; k < kWarps * tmk::kChunk; k += kThreads)
      stage.left[r][k] = start + k < call.inner ? row[start + k] : 0.0f;
  }
}

// Sums of a warp's chunk: `left` of every row, and pieces of the lane's column.
template <typename Piece, int kRows>
TM_FN void add_chunk(float sum[kRows], const FewStage<kRows> &stage, const Piece *piece, int count) {
  int k = threadIdx.x / tmk::kWarp * tmk::kChunk;
#pragma unroll 8
  for (int p = 0; p < count; p++, piece += tmk::kPanel, k += Piece::kInner) {
    const Piece weights = *piece;
#pragma unroll
    for (int i = 0; i < Piece::kInner; i++)
#pragma unroll
      for (int r = 0; r < kRows; r++)
        sum[r] = tmk::fma(stage.left[r][k + i], weights.at(i), sum[r]);
  }
}

template <typename Piece, int kRows>
TM_FN void multiply_few(const tmk_linear &call) {
  __shared__ FewStage<kRows> stage;
  const int lane = threadIdx.x % tmk::kWarp, warp = threadIdx.x / tmk::kWarp;
  const int64_t first_column = int64_t{blockIdx.x} * tmk::kPanel, column = first_column + lane;
  const int64_t first_row = int64_t{blockIdx.y} * kRows, row = first_row + warp;
  const Piece *weights = panels_of<Piece>(call).column(column);
  float total = 0.0f;
  for (int64_t start = 0; start < call.inner; start += kWarps * tmk::kChunk) {
    read_left(stage, call, first_row, start);
    __syncthreads();
    const int64_t first = start + warp * tmk::kChunk;
    const int64_t last = tmk::smaller_of(first + tmk::kChunk, call.inner);
    float sum[kRows] = {};
    if (first < last)
      add_chunk(sum, stage, weights + first / Piece::kInner * tmk::kPanel,
                static_cast<int>(tmk::divided_up(last - first, Piece::kInner)));
#pragma unroll
    for (int r = 0; r < kRows; r++) stage.sums[warp][r][lane] = sum[r];
    __syncthreads();
    for (int w = 0; w < kWarps && start + w * tmk::kChunk < call.inner; w++)
      if (warp < kRows) total = total + stage.sums[w][warp][lane];
  }
  if (warp < kRows && row < call.rows && column < call.columns)
    call.out[row * call.out_row + column] = tmk::canonical(total);
}

}  // namespace

#define TM_LINEAR(kind, Piece)                                                                     \
  TM_KERNEL(pack_##kind, kThreads, tmk_packing) { pack<Piece>(call); }                             \
  TM_KERNEL(linear_##kind##_many, tmk::kFloatThreads, tmk_linear) {                                \
    multiply_many<false, tmk::AnyMatrix<true>, Piece>(call);                                       \
  }                                                                                                \
  TM_KERNEL_BESIDE(tmk::kFloatBeside, linear_##kind##_many_fours, tmk::kFloatThreads, tmk_linear) { \
    multiply_many<true, tmk::FoursMatrix<true>, Piece>(call);                                      \
  }                                                                                                \
  TM_KERNEL(linear_##kind##_1, kThreads, tmk_linear) { multiply_few<Piece, 1>(call); }             \
  TM_KERNEL(linear_##kind##_4, kThreads, tmk_linear) { multiply_few<Piece, 4>(call); }
TM_LINEAR(f32, tmk::FloatPiece)
TM_LINEAR(bf16, tmk::HalfPiece)
