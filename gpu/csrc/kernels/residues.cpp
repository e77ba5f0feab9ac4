// Products of residues mod 241; reference/residues.cpp says what they are.
#include "wide_product.h"

#include "../residues/rows.h"

namespace tmk {
namespace {

struct ResidueProduct {
  const tmk_product &p;
  const int64_t rows = p.rows, inner = p.inner, columns = p.columns;

  void pack_row_of_left(int64_t i, int64_t k, int64_t depth, uint32_t *packed) const {
    const uint8_t *row = p.left + i * p.left_stride + k, *scale = p.scale + k;
    if (p.scale)
      pack_row(depth, packed, [=](auto load, int64_t place) {
        return left_groups(Residues{}, load(row + place), load(scale + place));
      });
    else
      pack_row(depth, packed, [=](auto load, int64_t place) {
        return left_groups(Residues{}, load(row + place));
      });
  }
  TM_FN void right(int64_t k, int64_t j, Words groups[2]) const {
    right_groups(Residues{}, p.right + k * p.right_stride + j, p.right_stride, p.inner - k,
                 p.columns - j, groups);
  }
  // Adds column ⊗ row, reduces, and stores what lies inside the result.
  void finish(int64_t i, int64_t j, int64_t height, const uint32_t *sums) const {
    const int64_t width = least(kPanel, p.columns - j);
    for (int64_t r = 0; r < height; r++, sums += kPanel) {
      Words sum[2] = {load(sums), load(sums + kLanes)}, product[2];
      if (p.column) {
        outer(p.column[i + r], p.row + j, width, product);
        sum[0] = sum[0] + product[0];
        sum[1] = sum[1] + product[1];
      }
      alignas(64) uint8_t bytes[kPanel];
      store_residues(sum, bytes);
      memcpy(p.out + (i + r) * p.out_stride + j, bytes, width);
    }
  }
};

template <typename Use>
auto with_residues(const tmk_product &p, Workspace &space, Use use) {
  if (WideProduct::suits(p)) return use(WideProduct(p, space));
  return with_product(ResidueProduct{p}, 1, space, use);
}

}  // namespace
}  // namespace tmk

uint64_t TMK_ENTRY(chain241_product_workspace)(const tmk_product *call) {
  Workspace space;
  tmk::with_residues(*call, space, [](auto) { return TMK_OK; });
  return space.needed();
}

int TMK_ENTRY(chain241_product)(const tmk_product *call) {
  if (!tmk::valid(*call)) return TMK_BAD_ARGUMENT;
  Workspace space(call->workspace);
  return tmk::with_residues(*call, space, [&](auto product) {
    if (!space.held()) return TMK_SMALL_WORKSPACE;
    product.run(nullptr);
    return TMK_OK;
  });
}

int TMK_ENTRY(chain241_scale_rows)(const tmk_residues *call) { return tmk::scale_rows(*call); }

uint64_t TMK_ENTRY(chain241_is_canonical)(const tmk_residues *call) {
  return tmk::is_canonical(*call);
}
