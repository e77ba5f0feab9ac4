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

struct alignas(16) FloatPiece {
  static constexpr int kInner = 4;
  float number[kInner];
  TM_FN float at(int i) const { return number[i]; }
  TM_FN void set(int i, float x) { number[i] = x; }
};

// Words, not halves: a piece is read as four of them at once.
struct alignas(16) HalfPiece {
  static constexpr int kInner = 8;
  uint32_t pair[kInner / 2];
  TM_FN float at(int i) const {
    return from_bits(i % 2 ? pair[i / 2] & 0xffff0000u : pair[i / 2] << 16);
  }
  TM_FN void set(int i, float x) { pair[i / 2] |= uint32_t{to_bfloat16(x)} << i % 2 * 16; }
};

template <typename Piece>
struct Panels {
  const Piece *data;
  int64_t inner, columns;

  TM_FN int64_t pieces() const { return divided_up(inner, Piece::kInner); }

  // The first piece of a column; the next one of it is kPanel further.
  TM_FN const Piece *column(int64_t number) const {
    return data + number / kPanel * pieces() * kPanel + number % kPanel;
  }
};

// As an operand of a tile. Columns beyond the last panel are its last one again.
template <typename Piece>
struct PanelOperand {
  static constexpr bool kGaps = false;
  static constexpr int kOwn = kFetched / Piece::kInner;
  static constexpr int kDeep = kFloatThreads / kFloatTile;  // pieces of a column side by side
  const Piece *own;
  Piece fetched[kOwn];

  TM_FN PanelOperand(const Panels<Piece> &panels, int64_t first) {
    const int64_t last = divided_up(panels.columns, kPanel) * kPanel - 1;
    own = panels.column(smaller_of(first + threadIdx.x % kFloatTile, last)) +
          threadIdx.x / kFloatTile * kPanel;
  }
  TM_FN void start(int left, FloatSide &) {
#pragma unroll
    for (int i = 0; i < kOwn; i++) {
      const int inner = (threadIdx.x / kFloatTile + i * kDeep) * Piece::kInner;
      if (left == kFloatInner)
        fetched[i] = own[i * kDeep * kPanel];
      else
        fetched[i] = inner < left ? own[i * kDeep * kPanel] : Piece{};
    }
    own += kFloatInner / Piece::kInner * kPanel;
  }
  TM_FN void finish(FloatSide &side) const {
#pragma unroll
    for (int i = 0; i < kOwn; i++)
#pragma unroll
      for (int e = 0; e < Piece::kInner; e++)
        side.at[(threadIdx.x / kFloatTile + i * kDeep) * Piece::kInner + e]
               [threadIdx.x % kFloatTile] = fetched[i].at(e);
  }
};

}  // namespace
}  // namespace tmk

#endif
