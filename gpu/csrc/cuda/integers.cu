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

// A square of the operand goes through shared memory: read along the dimension whose neighbours lie
// together, written along the inner one, four bytes at a time.
template <typename Entry>
TM_FN void lay_out(const tmk_layout &call, int8_t (*square)[kSideRow], Entry entry) {
  const int64_t first_outer = int64_t{blockIdx.x} * kSide, first_inner = int64_t{blockIdx.y} * kSide;
  for (int at = threadIdx.x; at < kSide * kSide; at += kTileThreads) {
    const int fast = at % kSide, slow = at / kSide;
    const int i = call.inner_step == 1 ? slow : fast, k = call.inner_step == 1 ? fast : slow;
    const int64_t outer = first_outer + i, inner = first_inner + k;
    const bool there = outer < call.outer && inner < call.inner;
    square[i][k] = there ? entry(outer, inner) : int8_t{0};
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
  const int8_t *in = static_cast<const int8_t *>(call.in);
  lay_out(call, square, [&](int64_t outer, int64_t inner) {
    return in[outer * call.outer_step + inner * call.inner_step];
  });
}

TM_KERNEL(lay_out_residues, kTileThreads, tmk_layout) {
  alignas(4) __shared__ int8_t square[kSide][kSideRow];
  const uint8_t *in = static_cast<const uint8_t *>(call.in);
  lay_out(call, square, [&](int64_t outer, int64_t inner) {
    const unsigned residue = in[outer * call.outer_step + inner * call.inner_step];
    const unsigned factor = call.scale ? call.scale[inner] : 1u;
    return static_cast<int8_t>(tmk::centred(static_cast<int>(residue * factor % tmk::kModulus)));
  });
}
