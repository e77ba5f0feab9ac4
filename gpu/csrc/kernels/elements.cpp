// Elementwise operations and random numbers; reference/elements.cpp says what they are.
#include "rows.h"

#include "../checks.h"
#include "../math/philox.h"

namespace tmk {
namespace {

constexpr int64_t kGrain = 16384;

template <typename Function>
int each_element(const tmk_elements &c, Function function) {
  const FloatState state;
  parallel_ranges(c.pool, c.count, kGrain, [&](int64_t first, int64_t last, int) {
    map_row(last - first, c.out + first, [&](int64_t i, int64_t there) {
      return canonical(function(first + i, there));
    });
  });
  return TMK_OK;
}

int unary(const tmk_elements &c) {
  const float *left = c.left;
  switch (c.function) {
#define TM_CASE(name)                                                                      \
  case k_unary_##name:                                                                     \
    return each_element(c, [=](int64_t i, int64_t n) { return name(load_some(left + i, n)); });
    TM_UNARY_FUNCTIONS(TM_CASE)
#undef TM_CASE
  }
  return TMK_BAD_ARGUMENT;
}

int binary(const tmk_elements &c) {
  const float *left = c.left, *right = c.right;
  switch (c.function) {
#define TM_CASE(name)                                                    \
  case k_binary_##name:                                                  \
    return each_element(c, [=](int64_t i, int64_t n) {                   \
      return name(load_some(left + i, n), load_some(right + i, n));      \
    });
    TM_BINARY_FUNCTIONS(TM_CASE)
#undef TM_CASE
  }
  return TMK_BAD_ARGUMENT;
}

// Lane i holds block `block` + i: four vectors of words, the first word of each block and so on.
void random_blocks(const tmk_random &c, uint64_t block, Words values[kPhiloxWords]) {
  const Words low = counting() + static_cast<uint32_t>(block);
  const Words carry = (Words)(low < static_cast<uint32_t>(block)) & 1u;
  values[0] = low;
  values[1] = carry + static_cast<uint32_t>(block >> 32);
  values[2] = broadcast(c.stream);
  values[3] = broadcast(c.step);
  philox(values, c.key[0], c.key[1]);
  if (c.distribution == 1)
    for (int i = 0; i < kPhiloxWords; i++) values[i] = to_bits(unit_interval(values[i]));
  for (int i = 0; c.distribution == 2 && i < kPhiloxWords; i += 2) {
    Floats cosine, sine;
    normal_pair(values[i], values[i + 1], &cosine, &sine);
    values[i] = to_bits(cosine);
    values[i + 1] = to_bits(sine);
  }
}

constexpr uint64_t kGroup = kPhiloxWords * kLanes;

// Elements of the blocks from `block` on, in order.
void random_group(const tmk_random &c, uint64_t block, uint32_t *out) {
  Words values[kPhiloxWords];
  random_blocks(c, block, values);
  for (int lane = 0; lane < kLanes; lane++)
    for (int i = 0; i < kPhiloxWords; i++) out[lane * kPhiloxWords + i] = values[i][lane];
}

void random_range(const tmk_random &c, uint64_t first, uint64_t last) {
  uint32_t *out = static_cast<uint32_t *>(c.out), group[kGroup];
  for (uint64_t done = first; done < last;) {
    const uint64_t element = c.first + done, skipped = element % kPhiloxWords;
    random_group(c, element / kPhiloxWords, group);
    const uint64_t left = last - done, held = kGroup - skipped;
    const uint64_t count = left < held ? left : held;
    memcpy(out + done, group + skipped, count * sizeof *out);
    done += count;
  }
}

}  // namespace
}  // namespace tmk

int TMK_ENTRY(unary)(const tmk_elements *call) {
  return valid_unary(*call) ? tmk::unary(*call) : TMK_BAD_ARGUMENT;
}

int TMK_ENTRY(binary)(const tmk_elements *call) {
  return valid_binary(*call) ? tmk::binary(*call) : TMK_BAD_ARGUMENT;
}

int TMK_ENTRY(random)(const tmk_random *call) {
  const tmk_random &c = *call;
  if (!valid(c)) return TMK_BAD_ARGUMENT;
  const FloatState state;
  parallel_ranges(c.pool, static_cast<int64_t>(c.count), tmk::kGrain,
                  [&](int64_t first, int64_t last, int) { tmk::random_range(c, first, last); });
  return TMK_OK;
}
