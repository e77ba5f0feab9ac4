// Derivatives of the activations: name_gradient(x, g) = g times the derivative at x.
#ifndef TM_MATH_GRADIENTS_H
#define TM_MATH_GRADIENTS_H

#include "activations.h"

#define TM_GRADIENT_FUNCTIONS(F) F(tanh) F(sigmoid) F(silu) F(gelu_erf) F(gelu_tanh) F(relu)

namespace tmk {
namespace {

// Where a derivative has reached its limit already; NaN stays.
template <typename R>
TM_FN R within(R x, float limit) {
  x = choose(x < -limit, all<R>(-limit), x);
  return choose(x > limit, all<R>(limit), x);
}

template <typename R>
TM_FN R tanh_gradient(R x, R g) {
  const R y = tanh(x);
  return g * fma(-y, y, all<R>(1.0f));
}

template <typename R>
TM_FN R sigmoid_gradient(R x, R g) {
  return g * (sigmoid(x) * sigmoid(-x));
}

template <typename R>
TM_FN R silu_gradient(R x, R g) {
  x = within(x, 200.0f);
  return g * (sigmoid(x) * fma(x, sigmoid(-x), all<R>(1.0f)));
}

// Phi(x) + x phi(x).
template <typename R>
TM_FN R gelu_erf_gradient(R x, R g) {
  x = within(x, 40.0f);
  const R below = (erf(x * 0.707106769f) + 1.0f) * 0.5f;
  const R density = exp(x * -0.5f * x) * 0.398942292f;
  return g * fma(x, density, below);
}

template <typename R>
TM_FN R gelu_tanh_gradient(R x, R g) {
  x = within(x, 40.0f);
  const R y = tanh(fma(x * 0.044715f * x, x, x) * 0.797884561f);
  const R inner = fma(x * 0.134145007f, x, all<R>(1.0f)) * 0.797884561f;
  return g * (fma(x * fma(-y, y, all<R>(1.0f)), inner, y + 1.0f) * 0.5f);
}

template <typename R>
TM_FN R relu_gradient(R x, R g) {
  return choose(x > 0.0f, g, choose(x == x, all<R>(0.0f), x));
}

}  // namespace
}  // namespace tmk

#endif
