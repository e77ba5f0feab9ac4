// A total order of floats as an order of signed words: -infinity < ... < -0 < +0 < ... < infinity <
// NaN, all NaNs being equal.
#ifndef TM_MATH_ORDER_H
#define TM_MATH_ORDER_H

#include "elements.h"

namespace tmk {
namespace {

TM_FN int32_t order_key(float x) {
  if (!(x == x)) return 0x7fffffff;
  const uint32_t bits = to_bits(x);
  return static_cast<int32_t>(bits ^ (bits >> 31 ? 0x7fffffffu : 0u));
}

}  // namespace
}  // namespace tmk

#endif
