// Rotary position embedding and the gathering of table rows; reference/tokens.cpp says what they
// are.
#include "rows.h"

#include "../checks.h"
#include "../math/narrow.h"

namespace tmk {
namespace {

constexpr int64_t kMostPairs = 512;  // angles computed at a time

// Sines and cosines of pairs first .. first+count-1 at a position.
void turn_table(const tmk_rope &c, int64_t token, int64_t first, int64_t count, float *sines,
                float *cosines) {
  const Floats position = broadcast(static_cast<float>(c.positions[token]));
  for (int64_t i = 0; i < count; i += kLanes) {
    const Floats angle = load_some(c.frequencies + first + i, count - i) * position;
    store(sines + i, sin(angle));
    store(cosines + i, cos(angle));
  }
}

// Pairs that lie `half` apart.
void rotate_halves(const float *in, const float *far_in, float *out, float *far_out, int64_t count,
                   const float *sines, const float *cosines) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const int64_t there = least(kLanes, count - i);
    const Floats a = load_some(in + i, there), b = load_some(far_in + i, there);
    const Floats sine = load(sines + i), cosine = load(cosines + i);
    store_some(out + i, canonical(fma(a, cosine, -(b * sine))), there);
    store_some(far_out + i, canonical(fma(b, cosine, a * sine)), there);
  }
}

void rotate_neighbours(const float *in, float *out, int64_t count, const float *sines,
                       const float *cosines) {
  for (int64_t i = 0; i < count; i++) {
    const float a = in[2 * i], b = in[2 * i + 1];
    out[2 * i] = canonical(fma(a, cosines[i], -(b * sines[i])));
    out[2 * i + 1] = canonical(fma(b, cosines[i], a * sines[i]));
  }
}

void rotate_token(const tmk_rope &c, int64_t token) {
  alignas(64) float sines[kMostPairs], cosines[kMostPairs];
  const int64_t half = c.size / 2;
  for (int64_t first = 0; first < half; first += kMostPairs) {
    const int64_t count = least(kMostPairs, half - first);
    turn_table(c, token, first, count, sines, cosines);
    for (int64_t head = 0; head < c.heads; head++) {
      const int64_t start = (token * c.heads + head) * c.size;
      if (c.interleaved)
        rotate_neighbours(c.in + start + 2 * first, c.out + start + 2 * first, count, sines,
                          cosines);
      else
        rotate_halves(c.in + start + first, c.in + start + half + first, c.out + start + first,
                      c.out + start + half + first, count, sines, cosines);
    }
  }
}

void gather_row(const tmk_gather &c, int64_t i) {
  const int64_t start = c.indices[i] * c.width;
  float *out = c.out + i * c.width;
  if (c.kind == TMK_F32) {
    const float *row = static_cast<const float *>(c.table) + start;
    map_row(c.width, out,
            [=](int64_t j, int64_t there) { return canonical(load_some(row + j, there)); });
    return;
  }
  const uint16_t *row = static_cast<const uint16_t *>(c.table) + start;
  for (int64_t j = 0; j < c.width; j++)
    out[j] = canonical(c.kind == TMK_BF16 ? from_bfloat16(row[j]) : from_float16(row[j]));
}

}  // namespace
}  // namespace tmk

int TMK_ENTRY(rope)(const tmk_rope *call) {
  const tmk_rope &c = *call;
  if (!valid(c)) return TMK_BAD_ARGUMENT;
  const FloatState state;
  parallel(c.pool, c.tokens, [&](int64_t token, int) { tmk::rotate_token(c, token); });
  return TMK_OK;
}

int TMK_ENTRY(gather)(const tmk_gather *call) {
  const tmk_gather &c = *call;
  if (!valid(c) || c.kind > TMK_F16) return TMK_BAD_ARGUMENT;
  if (!in_range(c)) return TMK_BAD_INDEX;
  const FloatState state;
  parallel(c.pool, c.count, [&](int64_t i, int) { tmk::gather_row(c, i); });
  return TMK_OK;
}
