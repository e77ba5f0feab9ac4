// What is the same for vectors of every width; included by lanes.h.
#ifndef TM_VECTORS_H
#define TM_VECTORS_H

#include "../math/elements.h"

namespace tmk {
namespace {

// One instruction that says the same, of NaNs and zeros too.
template <>
TM_FN Floats larger(Floats a, Floats b) {
  return first_if_larger(a, b);
}
template <>
TM_FN Floats smaller(Floats a, Floats b) {
  return first_if_smaller(a, b);
}

}  // namespace
}  // namespace tmk

#include "../math/power.h"
#include "../math/trigonometric.h"

namespace tmk {
namespace {

// Angles beyond the near range are rare: their lanes are done one by one.
template <>
TM_FN Angle<Words, Floats> reduced_angle(Floats x) {
  Angle<Words, Floats> angle = near_angle(x);
  const Ints far = magnitude(x) >= kFarAngle;
  if (__builtin_expect(any(far), 0)) {
    for (int i = 0; i < kLanes; i++) {
      if (!(magnitude(x[i]) >= kFarAngle && magnitude(x[i]) < infinity<float>())) continue;
      const Angle<uint32_t, float> lane = far_angle(x[i]);
      angle.quadrant[i] = lane.quadrant;
      angle.rest[i] = lane.rest;
    }
  }
  return angle;
}

TM_FN Floats load_some(const float *from, int64_t count) {
  return count >= kLanes ? load(from) : load_part(from, count);
}

TM_FN void store_some(float *to, Floats x, int64_t count) {
  if (count >= kLanes)
    store(to, x);
  else
    store_part(to, x, count);
}

// Lane 0 + lane n/2, lane 1 + lane n/2 + 1, ...; then the same of the first half; until one is left.
TM_FN float halving_sum(Floats x) {
#pragma GCC unroll 4
  for (int distance = kLanes / 2; distance >= 1; distance /= 2) x = x + exchanged(x, distance);
  return x[0];
}

// NaN is ignored; which of two zeros it is, is not said.
TM_FN float largest_lane(Floats x) {
#pragma GCC unroll 4
  for (int distance = kLanes / 2; distance >= 1; distance /= 2)
    x = larger(x, exchanged(x, distance));
  return x[0];
}

template <>
TM_FN Floats pow(Floats x, Floats y) {
  Floats result;
  for (int i = 0; i < kLanes; i++) result[i] = pow(x[i], y[i]);
  return result;
}

}  // namespace
}  // namespace tmk

#endif
