// sin and cos of any float. Below 8192 the multiple of pi/2 is taken off in three steps of fma
// (Cody and Waite), from there on with the bits of 2/pi that matter (Payne and Hanek, 1983).
// Polynomials of Cephes (S. Moshier, sinf.c).
#ifndef TM_MATH_TRIGONOMETRIC_H
#define TM_MATH_TRIGONOMETRIC_H

#include "exponential.h"

namespace tmk {
namespace {

constexpr float kFarAngle = 8192.0f;

// x = quadrant * pi/2 + rest, |rest| < 0.79, the quadrant modulo 4 in words.
template <typename N, typename R>
struct Angle {
  N quadrant;
  R rest;
};

template <typename R>
TM_FN Angle<decltype(to_bits(R{})), R> near_angle(R x) {
  Angle<decltype(to_bits(R{})), R> angle;
  const R whole = rounded(x, 0.636619772f, &angle.quadrant);
  R rest = fma(whole, all<R>(-1.57079601e+0f), x);
  rest = fma(whole, all<R>(-3.13916473e-7f), rest);
  angle.rest = fma(whole, all<R>(-5.39030253e-15f), rest);
  return angle;
}

// For finite |x| >= 8192: x = m 2^e with a 24-bit m and e >= -10. Bits of 2/pi above weight
// 2^(2-e) give multiples of 4; of the others 96 are enough.
TM_FN Angle<uint32_t, float> far_angle(float x) {
  const uint32_t two_over_pi[8] = {0,          0xa2f9836e, 0x4e441529, 0xfc2757d1,
                                   0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab};
  const uint32_t bits = to_bits(x), mantissa = (bits & 0x7fffffu) | 0x800000u;
  const int start = static_cast<int>(bits >> 23 & 0xff) - 150 - 2 + 32;
  const int word = start / 32, shift = start % 32;
  uint32_t window[3];
  for (int i = 0; i < 3; i++) {
    const uint64_t upper = two_over_pi[word + i], lower = two_over_pi[word + i + 1];
    window[i] = static_cast<uint32_t>((upper << 32 | lower) << shift >> 32);
  }
  const uint64_t low = static_cast<uint64_t>(mantissa) * window[2];
  const uint64_t middle = static_cast<uint64_t>(mantissa) * window[1] + (low >> 32);
  const uint64_t high = static_cast<uint64_t>(mantissa) * window[0] + (middle >> 32);
  const uint64_t turns = high << 32 | (middle & 0xffffffffu);  // in units of 2^-62 quadrants
  const uint32_t quadrant = static_cast<uint32_t>((turns + (uint64_t{1} << 61)) >> 62);
  const float part = static_cast<float>(static_cast<int64_t>(turns << 2));
  const float rest = part * 8.51530395021638e-20f;  // 2^-64 pi/2
  const bool negative = bits >> 31;
  return {negative ? 0u - quadrant : quadrant, negative ? -rest : rest};
}

template <typename R>
TM_FN Angle<decltype(to_bits(R{})), R> reduced_angle(R x);

template <>
TM_FN Angle<uint32_t, float> reduced_angle(float x) {
  return magnitude(x) < kFarAngle ? near_angle(x) : far_angle(x);
}

// sin(rest) for an even quadrant, cos(rest) for an odd one; the sign of quadrants 2 and 3.
template <typename N, typename R>
TM_FN R sine_of(Angle<N, R> angle) {
  const R x = angle.rest, square = x * x;
  R sine = polynomial(square, -1.9515295891e-4f, 8.3321608736e-3f, -1.6666654611e-1f);
  sine = fma(sine * square, x, x);
  R cosine = polynomial(square, 2.443315711809948e-5f, -1.388731625493765e-3f,
                        4.166664568298827e-2f);
  cosine = fma(cosine * square, square, fma(all<R>(-0.5f), square, all<R>(1.0f)));
  const R value = choose((angle.quadrant & 1u) != 0u, cosine, sine);
  return from_bits(to_bits(value) ^ ((angle.quadrant & 2u) << 30));
}

// Absolute error below 1.3e-7 over all floats; infinities and NaN give NaN.
template <typename R>
TM_FN R sin(R x) {
  const R result = sine_of(reduced_angle(x));
  return choose(magnitude(x) < infinity<R>(), result, not_a_number<R>());
}

template <typename R>
TM_FN R cos(R x) {
  auto angle = reduced_angle(x);
  angle.quadrant = angle.quadrant + 1u;
  return choose(magnitude(x) < infinity<R>(), sine_of(angle), not_a_number<R>());
}

}  // namespace
}  // namespace tmk

#endif
