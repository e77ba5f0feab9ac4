// Casts are one plain loop, compiled for every instruction set from the same text.
#ifndef TM_CASTS_H
#define TM_CASTS_H

#include "checks.h"
#include "host/parallel.h"
#include "math/narrow.h"

namespace {

constexpr int64_t kCastGrain = 16384;

template <typename From, typename To, typename Cast>
int cast_all(const tmk_cast &c, Cast cast) {
  const From *in = static_cast<const From *>(c.in);
  To *out = static_cast<To *>(c.out);
  parallel_ranges(c.pool, c.count, kCastGrain, [&](int64_t first, int64_t last, int) {
    for (int64_t i = first; i < last; i++) out[i] = cast(in[i]);
  });
  return TMK_OK;
}

inline int cast_from_float(const tmk_cast &c) {
  switch (c.to) {
    case TMK_BF16:
      return cast_all<float, uint16_t>(c, [](float x) { return tmk::to_bfloat16(x); });
    case TMK_F16:
      return cast_all<float, uint16_t>(c, [](float x) { return tmk::to_float16(x); });
    case TMK_I8:
      return cast_all<float, int8_t>(c, [](float x) { return tmk::to_int8(x); });
    case TMK_I32:
      return cast_all<float, int32_t>(c, [](float x) { return tmk::to_int32(x); });
  }
  return TMK_BAD_ARGUMENT;
}

inline int cast_to_float(const tmk_cast &c) {
  switch (c.from) {
    case TMK_BF16:
      return cast_all<uint16_t, float>(
          c, [](uint16_t x) { return tmk::canonical(tmk::from_bfloat16(x)); });
    case TMK_F16:
      return cast_all<uint16_t, float>(c, [](uint16_t x) { return tmk::from_float16(x); });
    case TMK_I8:
      return cast_all<int8_t, float>(c, [](int8_t x) { return static_cast<float>(x); });
    case TMK_I32:
      return cast_all<int32_t, float>(c, [](int32_t x) { return static_cast<float>(x); });
  }
  return TMK_BAD_ARGUMENT;
}

inline int cast_elements(const tmk_cast &c) {
  if (!counts(c.count) || !c.in || !c.out) return TMK_BAD_ARGUMENT;
  const FloatState state;
  if (c.from == TMK_F32) return cast_from_float(c);
  return c.to == TMK_F32 ? cast_to_float(c) : TMK_BAD_ARGUMENT;
}

}  // namespace

#endif
