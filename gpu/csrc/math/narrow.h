// Casts between float and the narrow types, on the bits, to nearest with ties to even.
#ifndef TM_MATH_NARROW_H
#define TM_MATH_NARROW_H

#include "elements.h"

namespace tmk {
namespace {

TM_FN float from_bfloat16(uint16_t half) { return from_bits(static_cast<uint32_t>(half) << 16); }

// NaN becomes 0x7fc0.
TM_FN uint16_t to_bfloat16(float x) {
  const uint32_t bits = to_bits(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fc0;
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

TM_FN float from_float16(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16, rest = half & 0x7fffu;
  if (rest > 0x7c00u) return not_a_number<float>();
  if (rest == 0x7c00u) return from_bits(sign | 0x7f800000u);
  if (rest >= 0x400u) return from_bits(sign | ((rest << 13) + 0x38000000u));
  const float tiny = static_cast<float>(static_cast<int32_t>(rest)) * 5.9604644775390625e-8f;
  return from_bits(sign | to_bits(tiny));  // 2^-24 each
}

// Overflow gives infinity, NaN becomes 0x7e00.
TM_FN uint16_t to_float16(float x) {
  const uint32_t bits = to_bits(x), sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
  if (rest > 0x7f800000u) return 0x7e00;
  if (rest >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65,520 and above
  if (rest < 0x38800000u) {  // below 2^-14: adding 1/2 leaves a multiple of 2^-24 in the mantissa
    const float shifted = from_bits(rest) + 0.5f;
    return static_cast<uint16_t>(sign | (to_bits(shifted) - 0x3f000000u));
  }
  return static_cast<uint16_t>(sign | ((rest - 0x38000000u + 0xfffu + (rest >> 13 & 1u)) >> 13));
}

// Saturates at -128 and 127; NaN becomes 0.
TM_FN int8_t to_int8(float x) {
  if (!(x == x)) return 0;
  const float clamped = x < -128.0f ? -128.0f : x > 127.0f ? 127.0f : x;
  return static_cast<int8_t>(to_bits(clamped + 12582912.0f) - 0x4b400000u);
}

// Saturates at the bounds of int32; NaN becomes 0. Truncates towards zero.
TM_FN int32_t to_int32(float x) {
  if (!(x == x)) return 0;
  if (x >= 2147483648.0f) return 2147483647;
  if (x < -2147483648.0f) return -2147483647 - 1;
  return static_cast<int32_t>(x);
}

}  // namespace
}  // namespace tmk

#endif
