// Packing of weights, once per model.
#include "packed.h"

#include "../checks.h"
#include "../math/narrow.h"

namespace tmk {
namespace {

float weight(const tmk_packing &c, int64_t k, int64_t j) {
  if (k >= c.inner || j >= c.columns) return 0.0f;
  return c.weights[k * c.weights_row + j * c.weights_column];
}

void pack_floats(const tmk_packing &c, int64_t first, float *to) {
  for (int64_t k = 0; k < c.inner; k++)
    for (int64_t j = 0; j < kPanel; j++) *to++ = weight(c, k, first + j);
}

void pack_halves(const tmk_packing &c, int64_t first, uint16_t *to) {
  for (int64_t k = 0; k < c.inner; k += 2)
    for (int64_t j = 0; j < kPanel; j++) {
      *to++ = to_bfloat16(weight(c, k, first + j));
      *to++ = to_bfloat16(weight(c, k + 1, first + j));
    }
}

// One group of one column.
void pack_group(const tmk_packing &c, int64_t k, int64_t j, int8_t *quads, float *scale,
                uint32_t *start) {
  const int64_t count = least(c.group, c.inner - k);
  const Scale s = group_scale(count, [&](int64_t i) { return weight(c, k + i, j); });
  *scale = s.back;
  uint32_t sum = 0;
  for (int64_t i = 0; i < rounded_up(count, kQuad); i++) {
    const uint32_t number = i < count ? quantized(weight(c, k + i, j), s.factor) : 0;
    quads[(i / kQuad * kPanel) * kQuad + i % kQuad] = static_cast<int8_t>(number);
    sum += number;
  }
  if (kQuadOffset) *start = 0u - sum * (kQuadOffset & 0xffu);
}

void pack_integers(const tmk_packing &c, const Packed &packed, int64_t panel) {
  const int64_t groups = groups_of(c.inner, c.group);
  int8_t *quads = reinterpret_cast<int8_t *>(packed.numbers) +
                  panel * quads_of(c.inner) * kPanel * kQuad;
  for (int64_t g = 0; g < groups; g++)
    for (int64_t j = 0; j < kPanel; j++) {
      const int64_t place = (panel * groups + g) * kPanel + j;
      pack_group(c, g * c.group, panel * kPanel + j, quads + (g * c.group * kPanel + j * kQuad),
                 packed.scales + place, packed.starts + place);
    }
}

}  // namespace
}  // namespace tmk

uint64_t TMK_ENTRY(packed_size)(const tmk_packing *c) {
  return tmk::Packed(nullptr, c->inner, c->columns, c->kind, c->group).size;
}

int TMK_ENTRY(pack)(const tmk_packing *call) {
  const tmk_packing &c = *call;
  if (!valid(c)) return TMK_BAD_ARGUMENT;
  const FloatState state;
  const tmk::Packed packed(c.packed, c.inner, c.columns, c.kind, c.group);
  for (int64_t panel = 0; panel < tmk::panels_of(c.columns); panel++) {
    const int64_t first = panel * tmk::kPanel;
    if (c.kind == TMK_F32)
      tmk::pack_floats(c, first, reinterpret_cast<float *>(packed.numbers) + first * c.inner);
    else if (c.kind == TMK_BF16)
      tmk::pack_halves(c, first, reinterpret_cast<uint16_t *>(packed.numbers) +
                                     2 * first * tmk::pairs_of(c.inner));
    else
      tmk::pack_integers(c, packed, panel);
  }
  return TMK_OK;
}
