// A few rows times many columns, in the same order C256 as gemm.h: the weights are read once, in
// place, and the sums stay in registers.
#ifndef TM_GEMV_H
#define TM_GEMV_H

#include "gemm.h"

namespace tmk {
namespace {

constexpr int kStreamRows = 6;        // rows per reading of the weights
constexpr int64_t kStreamLimit = 40;  // from more rows on the blocked product is faster

// Reads two vectors of columns at inner elements k and k + 1. Weights as float: a panel is
// [inner][kPanel], or the rows of a plain matrix.
struct FloatPanel {
  const float *data;
  int64_t step;        // of one inner element
  int64_t panel_step;
  static constexpr int kTogether = 1;
  Floats at(int64_t k, int, int half) const { return load(data + k * step + half * kLanes); }
  FloatPanel next() const { return {data + panel_step, step, panel_step}; }
};

// bfloat16, two inner elements together, k the first and even: [inner / 2][kPanel][2].
struct HalfPanel {
  const uint32_t *data;
  int64_t pairs;
  static constexpr int kTogether = 2;
  Floats at(int64_t k, int which, int half) const {
    const Words both = load(data + k * (kPanel / 2) + half * kLanes);
    return which ? second_of_pairs(both) : first_of_pairs(both);
  }
  HalfPanel next() const { return {data + pairs * kPanel, pairs}; }
};

// sums[kPanels][kRows][2] = one chunk of kPanels panels. What is read together is used up before
// the next is read, so that all sums have registers.
template <int kRows, int kPanels, typename Panel>
TM_FN void stream_chunk(const float *left, int64_t left_row, const Panel (&panels)[kPanels],
                        int64_t k, int64_t last, Floats (&sums)[kPanels][kRows][2]) {
#pragma GCC unroll 8
  for (int p = 0; p < kPanels; p++)
#pragma GCC unroll 8
    for (int r = 0; r < kRows; r++) sums[p][r][0] = sums[p][r][1] = Floats{};
  for (; k < last; k += Panel::kTogether) {
    Floats factor[Panel::kTogether][kRows];
#pragma GCC unroll 2
    for (int which = 0; which < Panel::kTogether; which++)
#pragma GCC unroll 8
      for (int r = 0; r < kRows; r++) factor[which][r] = broadcast(left[r * left_row + k + which]);
#pragma GCC unroll 8
    for (int p = 0; p < kPanels; p++)
#pragma GCC unroll 2
      for (int half = 0; half < 2; half++)
#pragma GCC unroll 2
        for (int which = 0; which < Panel::kTogether; which++) {
          const Floats weight = panels[p].at(k, which, half);
#pragma GCC unroll 8
          for (int r = 0; r < kRows; r++)
            sums[p][r][half] = fma(factor[which][r], weight, sums[p][r][half]);
        }
  }
}

// Rows 0 .. kRows-1 times kPanels neighbouring panels; `width` columns are there.
template <int kRows, int kPanels, typename Panel>
void stream(const float *left, int64_t left_row, Panel first, int64_t inner, float *out,
            int64_t out_row, int64_t width) {
  Panel panels[kPanels] = {first};
  for (int p = 1; p < kPanels; p++) panels[p] = panels[p - 1].next();
  Floats total[kPanels][kRows][2] = {};
  const int64_t even = inner / Panel::kTogether * Panel::kTogether;
  for (int64_t k = 0; k < inner; k += kChunk) {
    Floats sums[kPanels][kRows][2];
    stream_chunk<kRows, kPanels>(left, left_row, panels, k, least(k + kChunk, even), sums);
    for (int p = 0; p < kPanels; p++)
      for (int r = 0; r < kRows; r++)
        for (int half = 0; half < 2; half++) {
          if (even < inner && k + kChunk >= inner)
            sums[p][r][half] = fma(broadcast(left[r * left_row + even]),
                                   panels[p].at(even, 0, half), sums[p][r][half]);
          total[p][r][half] = total[p][r][half] + sums[p][r][half];
        }
  }
  for (int p = 0; p < kPanels; p++)
    for (int r = 0; r < kRows; r++)
      for (int half = 0; half < 2; half++) {
        const int64_t column = p * kPanel + half * kLanes;
        if (column < width)
          store_some(out + r * out_row + column, canonical(total[p][r][half]), width - column);
      }
}

// So many panels at a time that the sums of `rows` rows fill the registers; several streams of weights
// also come faster than one.
constexpr int panels_for(int rows) { return rows == 1 ? 4 : rows <= kTileRows / 2 ? 2 : 1; }

template <int kRows, typename Panel>
void stream_rows(const float *left, int64_t left_row, Panel panel, int64_t inner, float *out,
                 int64_t out_row, int64_t width) {
  constexpr int kPanels = panels_for(kRows);
  int64_t column = 0;
  for (; column + (kPanels - 1) * kPanel < width; column += kPanels * kPanel) {
    stream<kRows, kPanels>(left, left_row, panel, inner, out + column, out_row, width - column);
    for (int p = 0; p < kPanels; p++) panel = panel.next();
  }
  for (; column < width; column += kPanel, panel = panel.next())
    stream<kRows, 1>(left, left_row, panel, inner, out + column, out_row, width - column);
}

// Any number of rows, in passes over the panels that are as even as can be.
template <typename Panel>
void stream_all(const float *left, int64_t left_row, int64_t rows, Panel panel, int64_t inner,
                float *out, int64_t out_row, int64_t width) {
  const int64_t passes = (rows + kStreamRows - 1) / kStreamRows;
  for (int64_t pass = 0, row = 0; pass < passes; pass++) {
    const int64_t count = (rows - row) / (passes - pass);
    const float *from = left + row * left_row;
    float *to = out + row * out_row;
    switch (count) {
      case 1: stream_rows<1>(from, left_row, panel, inner, to, out_row, width); break;
      case 2: stream_rows<2>(from, left_row, panel, inner, to, out_row, width); break;
      case 3: stream_rows<3>(from, left_row, panel, inner, to, out_row, width); break;
      case 4: stream_rows<4>(from, left_row, panel, inner, to, out_row, width); break;
      case 5: stream_rows<5>(from, left_row, panel, inner, to, out_row, width); break;
      default: stream_rows<6>(from, left_row, panel, inner, to, out_row, width);
    }
    row += count;
  }
}

}  // namespace
}  // namespace tmk

#endif
