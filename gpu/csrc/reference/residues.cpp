// Products of residues mod 241 and the expansion of a key into them.
//
// A product: every entry is one plain sum over the inner dimension, of numbers centred around 0. A
// strip of right columns is laid out column by column first, so that both operands of a sum are
// contiguous and a compiler can vectorise it.
#include "../host/workspace.h"
#include "../residues/rows.h"

namespace tmk {
namespace {

constexpr int64_t kStrip = 32;

// scaled[k] = centred(left[i, k] * scale[k] mod 241)
void scale_row(const tmk_product &p, int64_t i, int16_t *scaled) {
  const uint8_t *left = p.left + i * p.left_stride;
  for (int64_t k = 0; k < p.inner; k++)
    scaled[k] = static_cast<int16_t>(centred(left[k] * (p.scale ? p.scale[k] : 1) % kModulus));
}

// strip[j][k] = centred(right[k, first + j])
void lay_out_strip(const tmk_product &p, int64_t first, int64_t width, int16_t *strip) {
  for (int64_t k = 0; k < p.inner; k++)
    for (int64_t j = 0; j < width; j++)
      strip[j * p.inner + k] =
          static_cast<int16_t>(centred(p.right[k * p.right_stride + first + j]));
}

int32_t dot(const int16_t *left, const int16_t *right, int64_t size) {
  int32_t sum = 0;
  for (int64_t k = 0; k < size; k++) sum += left[k] * right[k];
  return sum;
}

void multiply_strip(const tmk_product &p, int64_t first, int64_t width, const int16_t *strip,
                    int16_t *scaled) {
  for (int64_t i = 0; i < p.rows; i++) {
    scale_row(p, i, scaled);
    for (int64_t j = 0; j < width; j++) {
      const int32_t outer = p.column ? p.column[i] * p.row[first + j] : 0;
      p.out[i * p.out_stride + first + j] =
          static_cast<uint8_t>(modulo(dot(scaled, strip + j * p.inner, p.inner) + outer));
    }
  }
}

struct Parts {
  int16_t *scaled, *strip;
  Parts(const tmk_product &p, Workspace &space)
      : scaled(space.part<int16_t>(p.inner)), strip(space.part<int16_t>(kStrip * p.inner)) {}
};

}  // namespace
}  // namespace tmk

uint64_t tmk_baseline_chain241_product_workspace(const tmk_product *call) {
  Workspace space;
  tmk::Parts(*call, space);
  return space.needed();
}

int tmk_baseline_chain241_product(const tmk_product *call) {
  const tmk_product &p = *call;
  if (!tmk::valid(p)) return TMK_BAD_ARGUMENT;
  Workspace space(p.workspace);
  const tmk::Parts parts(p, space);
  if (!space.held()) return TMK_SMALL_WORKSPACE;
  for (int64_t first = 0; first < p.columns; first += tmk::kStrip) {
    const int64_t width = least(tmk::kStrip, p.columns - first);
    tmk::lay_out_strip(p, first, width, parts.strip);
    tmk::multiply_strip(p, first, width, parts.strip, parts.scaled);
  }
  return TMK_OK;
}

int tmk_baseline_chain241_scale_rows(const tmk_residues *call) { return tmk::scale_rows(*call); }

uint64_t tmk_baseline_chain241_is_canonical(const tmk_residues *call) {
  return tmk::is_canonical(*call);
}
