// tanh, erf and the activations built from them.
#ifndef TM_MATH_ACTIVATIONS_H
#define TM_MATH_ACTIVATIONS_H

#include "exponential.h"

namespace tmk {
namespace {

// Error below 1.5 ulp. Polynomial of Cephes (S. Moshier, tanhf.c).
template <typename R>
TM_FN R tanh(R x) {
  const R size = magnitude(x), square = x * x;
  const R sum = polynomial(square, -5.70498872745e-3f, 2.06390887954e-2f, -5.37397155531e-2f,
                           1.33314422036e-1f, -3.33332819422e-1f);
  const R near_zero = fma(sum * square, x, x);
  const R power = exp(choose(size > 10.0f, all<R>(10.0f), size) * 2.0f);
  const R far = with_sign(all<R>(1.0f) - all<R>(2.0f) / (power + 1.0f), x);
  return choose(size < 0.625f, near_zero, choose(x == x, far, x));
}

// Error below 2 ulp. Two polynomials fitted for this file: erf(x)/x - 1 in x^2 below 1, and
// -log(erfc(x)) in x from 1 to 4, above which erf rounds to 1.
template <typename R>
TM_FN R erf(R x) {
  const R size = magnitude(x), square = x * x;
  const R sum = polynomial(square, 7.853857823647559e-05f, -0.0008010192541405559f,
                           0.005188327748328447f, -0.026853810995817184f, 0.1128358542919159f,
                           -0.3761262595653534f, 0.12837916612625122f);
  const R near_zero = fma(sum, x, x);
  const R tail = polynomial(choose(size > 4.0f, all<R>(4.0f), size), 2.1697638658224605e-05f,
                            -0.00044147291919216514f, 0.0042052860371768475f,
                            -0.025210343301296234f, 0.10842210054397583f, 0.633216381072998f,
                            1.1295802593231201f, -0.0001884678058559075f);
  const R far = with_sign(all<R>(1.0f) - exp(-tail), x);
  return choose(size < 1.0f, near_zero, choose(x == x, far, x));
}

template <typename R>
TM_FN R relu(R x) {
  return choose(x > 0.0f, x, choose(x == x, all<R>(0.0f), x));
}

// 1 / (1 + exp(-x)) with the power of what is negative, so that neither side overflows.
template <typename R>
TM_FN R sigmoid(R x) {
  const R power = exp(-magnitude(x));
  return choose(x < 0.0f, power, all<R>(1.0f)) / (power + 1.0f);
}

template <typename R>
TM_FN R silu(R x) {
  const R power = exp(-magnitude(x));
  const R result = x * choose(x < 0.0f, power, all<R>(1.0f)) / (power + 1.0f);
  return choose(x == -infinity<R>(), -all<R>(0.0f), result);
}

// x Phi(x) with Phi by erf.
template <typename R>
TM_FN R gelu_erf(R x) {
  const R result = x * 0.5f * (erf(x * 0.707106769f) + 1.0f);
  return choose(x == -infinity<R>(), -all<R>(0.0f), result);
}

// The approximation by tanh(sqrt(2/pi) (x + 0.044715 x^3)).
template <typename R>
TM_FN R gelu_tanh(R x) {
  const R inner = fma(x * 0.044715f * x, x, x) * 0.797884561f;
  const R result = x * 0.5f * (tanh(inner) + 1.0f);
  return choose(x == -infinity<R>(), -all<R>(0.0f), result);
}

template <typename R>
TM_FN R reciprocal_root(R x) {
  return all<R>(1.0f) / square_root(x);
}

}  // namespace
}  // namespace tmk

#endif
