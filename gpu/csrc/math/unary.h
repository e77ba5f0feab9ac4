// The elementwise functions by number; gpu/ops/elementwise.py names them in the same order.
#ifndef TM_MATH_UNARY_H
#define TM_MATH_UNARY_H

#include "activations.h"
#include "power.h"
#include "trigonometric.h"

#define TM_UNARY_FUNCTIONS(F) \
  F(exp) F(log) F(sin) F(cos) F(tanh) F(erf) F(sigmoid) F(silu) F(gelu_erf) F(gelu_tanh) F(relu) \
  F(square_root) F(reciprocal_root) F(magnitude) F(negative)

#define TM_BINARY_FUNCTIONS(F) F(add) F(subtract) F(multiply) F(divide) F(smaller) F(larger) F(pow)

namespace tmk {
namespace {

template <typename R>
TM_FN R negative(R x) {
  return -x;
}
template <typename R>
TM_FN R add(R a, R b) {
  return a + b;
}
template <typename R>
TM_FN R subtract(R a, R b) {
  return a - b;
}
template <typename R>
TM_FN R multiply(R a, R b) {
  return a * b;
}
template <typename R>
TM_FN R divide(R a, R b) {
  return a / b;
}

#define TM_NUMBER(name) k_unary_##name,
enum Unary { TM_UNARY_FUNCTIONS(TM_NUMBER) kUnaryCount };
#undef TM_NUMBER
#define TM_NUMBER(name) k_binary_##name,
enum Binary { TM_BINARY_FUNCTIONS(TM_NUMBER) kBinaryCount };
#undef TM_NUMBER

}  // namespace
}  // namespace tmk

#endif
