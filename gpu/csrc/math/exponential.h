// exp and log. Polynomials of Cephes (S. Moshier, expf.c and logf.c), evaluated by fma.
#ifndef TM_MATH_EXPONENTIAL_H
#define TM_MATH_EXPONENTIAL_H

#include "elements.h"

namespace tmk {
namespace {

// x * 2^n for n in -252..254, rounded once: the first product is exact for x in [1/2, 2].
template <typename R, typename N>
TM_FN R scaled(R x, N n) {
  const N half = shifted_right(n, 1);
  return x * from_bits((half + 127u) << 23) * from_bits((n - half + 127u) << 23);
}

// The integer nearest to x * factor, which is below 2^22: as a float and in words.
template <typename R>
TM_FN R rounded(R x, float factor, decltype(to_bits(R{})) *words) {
  const R shifted = fma(x, all<R>(factor), all<R>(12582912.0f));  // 1.5 * 2^23
  *words = to_bits(shifted) - 0x4b400000u;
  return shifted - 12582912.0f;
}

// exp(x) / 2^whole.
template <typename R>
TM_FN R mantissa_of_exp(R x, R whole) {
  R rest = fma(whole, all<R>(-0.693145752f), x);
  rest = fma(whole, all<R>(-1.42860677e-6f), rest);
  const R sum = polynomial(rest, 1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
                           4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f);
  return fma(sum, rest * rest, rest) + 1.0f;
}

// Error below 1 ulp. Underflows gradually to 0, overflows to infinity; NaN stays NaN.
template <typename R>
TM_FN R exp(R x) {
  x = larger(all<R>(-104.0f), x);
  x = smaller(all<R>(89.0f), x);
  decltype(to_bits(x)) n;
  const R whole = rounded(x, 1.44269504f, &n);
  return scaled(mantissa_of_exp(x, whole), n);
}

// The same for x <= 0 and NaN, in fewer steps: the mantissa goes up by 2^(n + 64), which no sum of
// exponents leaves the range by, then down by 2^64 in the one step that rounds.
template <typename R>
TM_FN R exp_down(R x) {
  x = larger(all<R>(-104.0f), x);
  decltype(to_bits(x)) n;
  const R whole = rounded(x, 1.44269504f, &n);
  const R high = from_bits(to_bits(mantissa_of_exp(x, whole)) + (n << 23) + (64u << 23));
  return fma(high, all<R>(5.42101086e-20f), whole - whole);  // + 0, or NaN
}

// Error below 1 ulp. log(+-0) = -infinity; negative numbers give NaN.
template <typename R>
TM_FN R log(R x) {
  const auto small = x < 1.17549435e-38f;
  const R normal = choose(small, x * 16777216.0f, x);  // denormals up by 2^24
  const auto bits = to_bits(normal);
  R mantissa = from_bits((bits & 0x7fffffu) | 0x3f800000u);
  R exponent = to_float((bits >> 23) - 127u) - choose(small, all<R>(24.0f), all<R>(0.0f));
  const auto upper = mantissa > 1.41421354f;
  mantissa = choose(upper, mantissa * 0.5f, mantissa);
  exponent = exponent + choose(upper, all<R>(1.0f), all<R>(0.0f));
  const R f = mantissa - 1.0f, square = f * f;
  const R sum = polynomial(f, 7.0376836292e-2f, -1.1514610310e-1f, 1.1676998740e-1f,
                           -1.2420140846e-1f, 1.4249322787e-1f, -1.6668057665e-1f,
                           2.0000714765e-1f, -2.4999993993e-1f, 3.3333331174e-1f);
  R tail = fma(exponent, all<R>(-2.12194440e-4f), sum * f * square);
  tail = fma(square, all<R>(-0.5f), tail);
  R result = fma(exponent, all<R>(0.693359375f), f + tail);
  result = choose(x < infinity<R>(), result, x);                    // infinity, NaN
  result = choose(x < 0.0f, not_a_number<R>(), result);
  return choose(x == 0.0f, -infinity<R>(), result);
}

}  // namespace
}  // namespace tmk

#endif
