// Products of residues with few left rows and many right columns, computed as the transpose of
// right^T · left^T: the large operand is read once and serves one panel of sums, instead of being
// laid out for a few tiles of rows. Where the stride is a power of two, the rows of a column share few
// sets of the caches: hence short runs of the inner dimension, strips of whole lines, and lines asked
// for two strips ahead.
#ifndef TM_WIDE_PRODUCT_H
#define TM_WIDE_PRODUCT_H

#include "integer_product.h"

namespace tmk {
namespace {

class WideProduct {
 public:
  WideProduct(const tmk_product &product, Workspace &space)
      : p_(product),
        few_(space.part<uint8_t>(p_.inner * p_.rows)),
        right_(space.part<uint32_t>(kRun * kPanel)),
        start_(space.part<uint32_t>(kPanel)),
        strip_(space.part<uint32_t>(kRun * kStrip)),
        sums_(space.part<uint32_t>(rounded_up(p_.columns, kPanel) * kPanel)) {}

  static bool suits(const tmk_product &p) {
    return p.rows <= kPanel && p.columns > kPanel && !p.scale && !p.column;
  }

  void run(tmk_pool *) {
    for (int64_t k = 0; k < p_.inner; k++)
      for (int64_t i = 0; i < p_.rows; i++) few_[k * p_.rows + i] = p_.left[i * p_.left_stride + k];
    for (int64_t k = 0; k < p_.inner; k += kRun * kTogether) {
      const int64_t groups = least(kRun, (p_.inner - k + kTogether - 1) / kTogether);
      pack_panel(*this, k, groups, 0, right_, start_);
      for (int64_t j = 0; j < p_.columns; j += kStrip) multiply_strip(j, k, groups);
    }
    for (int64_t j = 0; j < p_.columns; j++) finish(j);
  }

  // Rows of left^T, for pack_panel.
  TM_FN void right(int64_t k, int64_t, Words groups[2]) const {
    right_groups(Residues{}, few_ + k * p_.rows, p_.rows, p_.inner - k, p_.rows, groups);
  }

 private:
  static constexpr int64_t kRun = 16;    // groups
  static constexpr int64_t kStrip = 64;  // columns
  static constexpr int64_t kRest = kPanel - 2 * kTileRows;

  void multiply_strip(int64_t j, int64_t k, int64_t groups) {
    const int64_t width = least(kStrip, p_.columns - j);
    for (int64_t g = 0; g < groups; g++) {
      for (int64_t r = 0; r < kTogether; r++) prefetch_after(k + g * kTogether + r, j);
      for (int64_t c = 0; c < width; c += kPanel)
        lay_out(k + g * kTogether, j + c, strip_ + g * kStrip + c);
    }
    for (int64_t c = 0; c < width; c += kPanel) {
      uint32_t *sums = sums_ + (j + c) * kPanel;
      if (p_.rows > kLanes) {
        multiply<kTileRows, 2>(c, groups, sums, k == 0);
        multiply<kTileRows, 2>(c + kTileRows, groups, sums + kTileRows * kPanel, k == 0);
        multiply<kRest, 2>(c + 2 * kTileRows, groups, sums + 2 * kTileRows * kPanel, k == 0);
      } else {
        multiply<kLanes, 1>(c, groups, sums, k == 0);
        multiply<kLanes, 1>(c + kLanes, groups, sums + kLanes * kPanel, k == 0);
      }
    }
  }

  // Into the second cache; beyond the matrix it does nothing.
  void prefetch_after(int64_t k, int64_t j) const {
    __builtin_prefetch(p_.right + k * p_.right_stride + j + 2 * kStrip, 0, 2);
  }

  // A group of each column of a panel, as a left number.
  TM_FN void lay_out(int64_t k, int64_t j, uint32_t *to) const {
    Words groups[2];
    right_groups(Residues{}, p_.right + k * p_.right_stride + j, p_.right_stride, p_.inner - k,
                 p_.columns - j, groups);
    const uint32_t offset = kOffsetLeft ? 0x80808080u : 0;
    store(to, groups[0] ^ offset);
    store(to + kLanes, groups[1] ^ offset);
  }

  template <int kRows, int kWide>
  void multiply(int64_t c, int64_t groups, uint32_t *sums, bool first) const {
    multiply_tile<kRows, kWide, 1, kStrip>(strip_ + c, right_, groups, sums, start_, first);
  }

  void finish(int64_t j) const {
    const uint32_t *sums = sums_ + j * kPanel;
    const Words both[2] = {load(sums), load(sums + kLanes)};
    alignas(64) uint8_t bytes[kPanel];
    store_residues(both, bytes);
    for (int64_t i = 0; i < p_.rows; i++) p_.out[i * p_.out_stride + j] = bytes[i];
  }

  const tmk_product &p_;
  uint8_t *few_;
  uint32_t *right_, *start_, *strip_, *sums_;
};

}  // namespace
}  // namespace tmk

#endif
