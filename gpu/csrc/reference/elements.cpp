// Elementwise operations, one number at a time.
#include "../checks.h"
#include "../host/parallel.h"
#include "../math/narrow.h"
#include "../math/philox.h"

namespace {

float unary(int32_t function, float x) {
  switch (function) {
#define TM_CASE(name)     \
  case tmk::k_unary_##name: \
    return tmk::name(x);
    TM_UNARY_FUNCTIONS(TM_CASE)
#undef TM_CASE
  }
  return x;
}

float binary(int32_t function, float x, float y) {
  switch (function) {
#define TM_CASE(name)      \
  case tmk::k_binary_##name: \
    return tmk::name(x, y);
    TM_BINARY_FUNCTIONS(TM_CASE)
#undef TM_CASE
  }
  return x;
}

constexpr int64_t kGrain = 4096;

}  // namespace

int tmk_baseline_unary(const tmk_elements *call) {
  const tmk_elements &c = *call;
  if (!valid_unary(c)) return TMK_BAD_ARGUMENT;
  const FloatState state;
  parallel_ranges(c.pool, c.count, kGrain, [&](int64_t first, int64_t last, int) {
    for (int64_t i = first; i < last; i++) c.out[i] = tmk::canonical(unary(c.function, c.left[i]));
  });
  return TMK_OK;
}

int tmk_baseline_binary(const tmk_elements *call) {
  const tmk_elements &c = *call;
  if (!valid_binary(c)) return TMK_BAD_ARGUMENT;
  const FloatState state;
  parallel_ranges(c.pool, c.count, kGrain, [&](int64_t first, int64_t last, int) {
    for (int64_t i = first; i < last; i++)
      c.out[i] = tmk::canonical(binary(c.function, c.left[i], c.right[i]));
  });
  return TMK_OK;
}

namespace {

// The four numbers of a block: words, uniform in [0, 1), or two pairs of normal numbers.
void random_block(const tmk_random &c, uint64_t block, uint32_t values[4]) {
  uint32_t words[4] = {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), c.stream,
                       c.step};
  tmk::philox(words, c.key[0], c.key[1]);
  for (int i = 0; i < 4; i++)
    values[i] = c.distribution == 0 ? words[i] : tmk::to_bits(tmk::unit_interval(words[i]));
  for (int i = 0; c.distribution == 2 && i < 4; i += 2) {
    float cosine, sine;
    tmk::normal_pair(words[i], words[i + 1], &cosine, &sine);
    values[i] = tmk::to_bits(cosine);
    values[i + 1] = tmk::to_bits(sine);
  }
}

}  // namespace

int tmk_baseline_random(const tmk_random *call) {
  const tmk_random &c = *call;
  if (!valid(c)) return TMK_BAD_ARGUMENT;
  const FloatState state;
  uint32_t *out = static_cast<uint32_t *>(c.out), values[4];
  for (uint64_t done = 0; done < c.count;) {
    const uint64_t element = c.first + done;
    random_block(c, element / 4, values);
    for (uint64_t i = element % 4; i < 4 && done < c.count; i++) out[done++] = values[i];
  }
  return TMK_OK;
}
