// Exact products of bytes: reference/gemm.cpp and reference/residues.cpp are the definitions.
#include "cuda/integer_tile.h"
#include "residues/field.h"

using tmk::kTileThreads;

TM_KERNEL(gemm_i8_tiles, kTileThreads, tmk_tiles) {
  __shared__ tmk::IntegerStage stages[tmk::kStages];
  tmk::IntegerTile tile;
  tmk::multiply_all(tile, stages, call, [](int64_t) {});
  int32_t *out = static_cast<int32_t *>(call.out);
  tile.each_entry(call.rows, call.columns, [&](int64_t row, int64_t column, int i, int j, int e) {
    out[row * call.out_row + column] = tile.sum[i][j][e];
  });
}

TM_KERNEL(chain241_tiles, kTileThreads, tmk_tiles) {
  __shared__ tmk::IntegerStage stages[tmk::kStages];
  tmk::IntegerTile tile;
  tmk::multiply_all(tile, stages, call, [](int64_t) {});
  uint8_t *out = static_cast<uint8_t *>(call.out);
  tile.each_entry(call.rows, call.columns, [&](int64_t row, int64_t column, int i, int j, int e) {
    const int32_t outer = call.column ? call.column[row] * call.row[column] : 0;
    out[row * call.out_row + column] = static_cast<uint8_t>(tmk::modulo(tile.sum[i][j][e] + outer));
  });
}

namespace {

constexpr int kSide = 64, kSideRow = kSide + 4;  // bytes; a row more spares bank conflicts

// Four bytes that lie together, the first of them at `at`; zeros from `left` on.
TM_FN void read_four(const uint8_t *at, int64_t left, uint8_t bytes[4]) {
  if (left >= 4 && reinterpret_cast<uint64_t>(at) % 4 == 0) {
    const uint32_t word = *reinterpret_cast<const uint32_t *>(at);
#pragma unroll
    for (int e = 0; e < 4; e++) bytes[e] = static_cast<uint8_t>(word >> 8 * e);
    return;
  }
#pragma unroll
  for (int e = 0; e < 4; e++) bytes[e] = e < left ? at[e] : uint8_t{0};
}

// A square of the operand goes through shared memory: read along the dimension whose neighbours lie
// together (one of the steps is 1), written along the inner one, four bytes at a time.
template <typename Entry>
TM_FN void lay_out(const tmk_layout &call, int8_t (*square)[kSideRow], Entry entry) {
  const int64_t first_outer = int64_t{blockIdx.x} * kSide, first_inner = int64_t{blockIdx.y} * kSide;
  const bool along_inner = call.inner_step == 1;
  for (int at = threadIdx.x; at < kSide * kSide / 4; at += kTileThreads) {
    const int fast = at % (kSide / 4) * 4, slow = at / (kSide / 4);
    const int i = along_inner ? slow : fast, k = along_inner ? fast : slow;
    const int64_t outer = first_outer + i, inner = first_inner + k;
    const int64_t left = outer >= call.outer || inner >= call.inner ? 0
                         : along_inner                              ? call.inner - inner
                                                                    : call.outer - outer;
    uint8_t bytes[4];
    read_four(static_cast<const uint8_t *>(call.in) + outer * call.outer_step +
                  inner * call.inner_step,
              left, bytes);
#pragma unroll
    for (int e = 0; e < 4; e++)
      if (along_inner)
        square[i][k + e] = entry(bytes[e], inner + e);
      else
        square[i + e][k] = entry(bytes[e], inner);
  }
  __syncthreads();
  for (int at = threadIdx.x; at < kSide * kSide / 4; at += kTileThreads) {
    const int i = at / (kSide / 4), k = at % (kSide / 4) * 4;
    if (first_outer + i < call.outer)
      *reinterpret_cast<uint32_t *>(call.out + (first_outer + i) * call.padded + first_inner + k) =
          *reinterpret_cast<const uint32_t *>(&square[i][k]);
  }
}

}  // namespace

TM_KERNEL(lay_out_bytes, kTileThreads, tmk_layout) {
  alignas(4) __shared__ int8_t square[kSide][kSideRow];
  lay_out(call, square, [](uint8_t byte, int64_t) { return static_cast<int8_t>(byte); });
}

TM_KERNEL(lay_out_residues, kTileThreads, tmk_layout) {
  alignas(4) __shared__ int8_t square[kSide][kSideRow];
  lay_out(call, square, [&](uint8_t residue, int64_t inner) {
    const unsigned factor = call.scale && inner < call.inner ? call.scale[inner] : 1u;
    return static_cast<int8_t>(tmk::centred(static_cast<int>(residue * factor % tmk::kModulus)));
  });
}
