// pow in double precision, rounded once to float: log2 by the series of artanh, exp2 by Taylor.
// Only + - * / in double, so that the order of operations is the text's.
#ifndef TM_MATH_POWER_H
#define TM_MATH_POWER_H

#include "exponential.h"

namespace tmk {
namespace {

// log2 of a positive finite float.
TM_FN double log2_wide(float x) {
  int exponent = 0;
  if (x < 1.17549435e-38f) {
    x = x * 16777216.0f;
    exponent = -24;
  }
  const uint32_t bits = to_bits(x);
  exponent += static_cast<int>(bits >> 23) - 127;
  double mantissa = from_bits((bits & 0x7fffffu) | 0x3f800000u);
  if (mantissa > 1.4142135623730951) {
    mantissa = mantissa * 0.5;
    exponent += 1;
  }
  const double ratio = (mantissa - 1.0) / (mantissa + 1.0), square = ratio * ratio;
  double sum = 1.0 / 21.0;
  const double odd[10] = {1.0 / 19.0, 1.0 / 17.0, 1.0 / 15.0, 1.0 / 13.0, 1.0 / 11.0,
                          1.0 / 9.0,  1.0 / 7.0,  1.0 / 5.0,  1.0 / 3.0,  1.0};
  for (int i = 0; i < 10; i++) sum = sum * square + odd[i];
  return exponent + sum * ratio * 2.8853900817779268;  // 2 / ln 2
}

// 2^x for |x| <= 200, as a double.
TM_FN double exp2_wide(double x) {
  const double shifted = x + 6755399441055744.0;  // 1.5 * 2^52: the nearest integer
  const double whole = shifted - 6755399441055744.0;
  const double rest = (x - whole) * 0.6931471805599453;
  const double inverse[12] = {1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320,
                              1.0 / 5040,     1.0 / 720,     1.0 / 120,    1.0 / 24,
                              1.0 / 6,        1.0 / 2,       1.0,          1.0};
  double sum = 1.0 / 479001600;
  for (int i = 0; i < 12; i++) sum = sum * rest + inverse[i];
  const uint64_t bits = static_cast<uint64_t>(static_cast<int64_t>(whole) + 1023) << 52;
#ifdef __CUDA_ARCH__
  return sum * __longlong_as_double(static_cast<int64_t>(bits));
#else
  double power;
  __builtin_memcpy(&power, &bits, sizeof power);
  return sum * power;
#endif
}

enum Parity { kNoInteger, kEven, kOdd };

TM_FN Parity parity(float y) {
  const float size = magnitude(y);
  if (!(size < 16777216.0f)) return size < infinity<float>() ? kEven : kNoInteger;
  const uint32_t whole = static_cast<uint32_t>(static_cast<int32_t>(size));
  if (static_cast<float>(static_cast<int32_t>(whole)) != size) return kNoInteger;
  return whole & 1 ? kOdd : kEven;
}

// Error below 0.51 ulp. Special cases as in C99, annex F.
template <typename R>
TM_FN R pow(R x, R y);

template <>
TM_FN float pow(float x, float y) {
  if (y == 0.0f || x == 1.0f) return 1.0f;
  if (!(x == x && y == y)) return not_a_number<float>();
  const float size = magnitude(x), infinite = infinity<float>();
  if (magnitude(y) == infinite) {
    if (size == 1.0f) return 1.0f;
    return (size > 1.0f) == (y > 0.0f) ? infinite : 0.0f;
  }
  const Parity kind = parity(y);
  const bool negative = to_bits(x) >> 31, flipped = negative && kind == kOdd;
  if (size == 0.0f || size == infinite) {
    const float limit = (size == 0.0f) == (y > 0.0f) ? 0.0f : infinite;
    return flipped ? -limit : limit;
  }
  if (negative && kind == kNoInteger) return not_a_number<float>();
  double exponent = static_cast<double>(y) * log2_wide(size);
  if (exponent > 200.0) exponent = 200.0;
  if (exponent < -200.0) exponent = -200.0;
  const float result = static_cast<float>(exp2_wide(exponent));
  return flipped ? -result : result;
}

}  // namespace
}  // namespace tmk

#endif
