// Operations on tokens: rotary position embedding and the gathering of table rows.
#include "../checks.h"
#include "../host/parallel.h"
#include "../math/narrow.h"

namespace {

// The pair (a, b) turned by the angle position * frequency.
void rotate(const tmk_rope &c, int64_t token, const float *in, float *out) {
  const int64_t half = c.size / 2;
  const float position = static_cast<float>(c.positions[token]);
  for (int64_t i = 0; i < half; i++) {
    const float angle = position * c.frequencies[i];
    const float sine = tmk::sin(angle), cosine = tmk::cos(angle);
    const int64_t first = c.interleaved ? 2 * i : i, second = c.interleaved ? 2 * i + 1 : i + half;
    const float a = in[first], b = in[second];
    out[first] = tmk::canonical(tmk::fma(a, cosine, -(b * sine)));
    out[second] = tmk::canonical(tmk::fma(b, cosine, a * sine));
  }
}

float table_entry(const tmk_gather &c, int64_t place) {
  if (c.kind == TMK_F32) return static_cast<const float *>(c.table)[place];
  const uint16_t half = static_cast<const uint16_t *>(c.table)[place];
  return c.kind == TMK_BF16 ? tmk::from_bfloat16(half) : tmk::from_float16(half);
}

}  // namespace

int tmk_baseline_rope(const tmk_rope *call) {
  const tmk_rope &c = *call;
  if (!valid(c)) return TMK_BAD_ARGUMENT;
  const FloatState state;
  parallel(c.pool, c.tokens, [&](int64_t token, int) {
    for (int64_t head = 0; head < c.heads; head++) {
      const int64_t start = (token * c.heads + head) * c.size;
      rotate(c, token, c.in + start, c.out + start);
    }
  });
  return TMK_OK;
}

int tmk_baseline_gather(const tmk_gather *call) {
  const tmk_gather &c = *call;
  if (!valid(c) || c.kind > TMK_F16) return TMK_BAD_ARGUMENT;
  if (!in_range(c)) return TMK_BAD_INDEX;
  const FloatState state;
  parallel(c.pool, c.count, [&](int64_t i, int) {
    for (int64_t j = 0; j < c.width; j++)
      c.out[i * c.width + j] = tmk::canonical(table_entry(c, c.indices[i] * c.width + j));
  });
  return TMK_OK;
}
