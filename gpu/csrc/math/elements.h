// Small pieces of the maths for a float or a vector of floats. Where vectors are wanted, lanes.h of an
// instruction set has to come first: a template finds only what was declared before it.
#ifndef TM_MATH_ELEMENTS_H
#define TM_MATH_ELEMENTS_H

#include "scalar.h"

namespace tmk {
namespace {

// A constant in every lane; not for -0, which the addition would lose.
template <typename R>
TM_FN R all(float constant) {
  return R{} + constant;
}
template <>
TM_FN float all<float>(float constant) {
  return constant;
}

template <typename R>
TM_FN R smaller(R a, R b) {
  return choose(a < b, a, b);
}
template <typename R>
TM_FN R larger(R a, R b) {
  return choose(a > b, a, b);
}

template <typename R>
TM_FN R magnitude(R x) {
  return from_bits(to_bits(x) & 0x7fffffffu);
}

// The magnitude of one number with the sign of another.
template <typename R>
TM_FN R with_sign(R x, R sign) {
  return from_bits((to_bits(x) & 0x7fffffffu) | (to_bits(sign) & 0x80000000u));
}

// The one NaN that results hold: payloads and signs of generated NaNs differ between devices.
template <typename R>
TM_FN R canonical(R x) {
  return choose(x == x, x, from_bits((to_bits(x) & 0u) | 0x7fc00000u));
}

template <typename R>
TM_FN R not_a_number() {
  return from_bits((to_bits(R{}) & 0u) | 0x7fc00000u);
}
template <typename R>
TM_FN R infinity() {
  return from_bits((to_bits(R{}) & 0u) | 0x7f800000u);
}

template <typename R>
TM_FN R continued(R, R sum) {
  return sum;
}
template <typename R, typename... Rest>
TM_FN R continued(R x, R sum, float next, Rest... rest) {
  return continued(x, fma(sum, x, all<R>(next)), rest...);
}

// c0 x^n + c1 x^(n-1) + ... by fma, highest coefficient first.
template <typename R, typename... Rest>
TM_FN R polynomial(R x, float first, Rest... rest) {
  return continued(x, all<R>(first), rest...);
}

}  // namespace
}  // namespace tmk

#endif
