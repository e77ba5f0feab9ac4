// Eight-bit integers with a scale per group: scale = largest magnitude / 127, and each number is
// rounded to nearest, ties to even, by one fma with 127 / largest.
#ifndef TM_MATH_QUANTIZE_H
#define TM_MATH_QUANTIZE_H

#include "elements.h"

namespace tmk {
namespace {

// What a group's numbers are multiplied by, and what gives them back. A group of zeros has factor 0;
// one that is not finite has a NaN for its scale, so that the result says so, and factor 0.
struct Scale {
  float factor, back;
};

TM_FN Scale scale_of(float largest, bool finite) {
  if (!finite) return {0.0f, not_a_number<float>()};
  const float factor = 127.0f / largest;
  return {largest > 0.0f && factor < infinity<float>() ? factor : 0.0f, largest / 127.0f};
}

// -127..127 in words.
template <typename R>
TM_FN auto quantized(R x, R factor) {
  R shifted = fma(x, factor, all<R>(12582912.0f));
  shifted = choose(shifted > 12583039.0f, all<R>(12583039.0f), shifted);
  shifted = choose(shifted < 12582785.0f, all<R>(12582785.0f), shifted);
  const auto words = to_bits(shifted) - 0x4b400000u;
  return choose((x == x) & (factor != 0.0f), words, words & 0u);
}

}  // namespace
}  // namespace tmk

#endif
