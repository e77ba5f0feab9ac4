// Packing of columns into panels, the layout that tiles read their right side in.
#ifndef TM_PANELS_H
#define TM_PANELS_H

#include "gemm.h"

namespace tmk {
namespace {

// Columns that lie as rows: whole blocks turn in registers.
inline void pack_turned(View view, int64_t j, int64_t width, int64_t inner, float *packed) {
  for (int64_t half = 0; half < kPanel; half += kLanes) {
    const int64_t there = width - half < kLanes ? width - half : kLanes;
    int64_t k = 0;
    for (; k + kLanes <= inner; k += kLanes) {
      Words block[kLanes];
#pragma GCC unroll 16
      for (int c = 0; c < kLanes; c++)
        block[c] = c < there ? to_bits(load(view.at(k, j + half + c))) : Words{};
      transpose(block);
      for (int c = 0; c < kLanes; c++)
        store(packed + (k + c) * kPanel + half, from_bits(block[c]));
    }
    for (; k < inner; k++)
      for (int64_t c = 0; c < kLanes; c++)
        packed[k * kPanel + half + c] = c < there ? *view.at(k, j + half + c) : 0.0f;
  }
}

// One panel: packed[inner][kPanel] of columns j .. j+width-1, zero beyond.
inline void pack_panel(View view, int64_t j, int64_t width, int64_t inner, float *packed) {
  if (view.row == 1) {
    pack_turned(view, j, width, inner, packed);
    return;
  }
  const bool whole = view.column == 1 && width == kPanel;
  for (int64_t k = 0; k < inner; k++, packed += kPanel) {
    if (whole) {
      store(packed, load(view.at(k, j)));
      store(packed + kLanes, load(view.at(k, j) + kLanes));
    } else {
      for (int64_t c = 0; c < kPanel; c++) packed[c] = c < width ? *view.at(k, j + c) : 0.0f;
    }
  }
}

}  // namespace
}  // namespace tmk

#endif
