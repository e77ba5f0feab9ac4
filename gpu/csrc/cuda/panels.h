// Float weights as `linear` reads them here: panels of 32 columns, [panel][piece][32][in a piece],
// a piece being 16 bytes of neighbouring inner elements of one column: 4 floats or 8 bfloat16s. Zero
// beyond the weights.
#ifndef TM_CUDA_PANELS_H
#define TM_CUDA_PANELS_H

#include "../math/narrow.h"
#include "float_tile.h"

namespace tmk {
namespace {

constexpr int kPanel = 32;

struct FloatPiece {
  static constexpr int kInner = 4;
  float number[kInner];
  TM_FN float at(int i) const { return number[i]; }
  TM_FN void set(int i, float x) { number[i] = x; }
};

struct HalfPiece {
  static constexpr int kInner = 8;
  uint16_t number[kInner];
  TM_FN float at(int i) const { return from_bfloat16(number[i]); }
  TM_FN void set(int i, float x) { number[i] = to_bfloat16(x); }
};

template <typename Piece>
struct alignas(16) Aligned {
  Piece piece;
};

template <typename Piece>
struct Panels {
  const Aligned<Piece> *data;
  int64_t inner, outer;  // outer: columns

  TM_FN int64_t pieces() const { return divided_up(inner, Piece::kInner); }
  TM_FN Piece piece(int64_t column, int64_t number) const {
    return data[(column / kPanel * pieces() + number) * kPanel + column % kPanel].piece;
  }

  // As an operand of a tile.
  static constexpr int kDeep = kFloatInner / Piece::kInner;
  TM_FN void fetch(int64_t first, int64_t k, float fetched[kFetched]) const {
#pragma unroll
    for (int i = 0; i < kFetched / Piece::kInner; i++) {
      const int at = threadIdx.x + i * kFloatThreads;
      const int64_t column = first + at % kFloatTile, number = k / Piece::kInner + at / kFloatTile;
      const bool there = column < outer && number < pieces();
      const Piece read = there ? piece(column, number) : Piece{};
#pragma unroll
      for (int e = 0; e < Piece::kInner; e++) fetched[i * Piece::kInner + e] = read.at(e);
    }
  }
  TM_FN void keep(const float fetched[kFetched], FloatSide &side) const {
#pragma unroll
    for (int i = 0; i < kFetched; i++) {
      const int at = threadIdx.x + i / Piece::kInner * kFloatThreads;
      side.at[at / kFloatTile * Piece::kInner + i % Piece::kInner][at % kFloatTile] = fetched[i];
    }
  }
};

}  // namespace
}  // namespace tmk

#endif
