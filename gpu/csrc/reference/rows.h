// Sums over rows. They have the order L128: per run of 4096 elements, 128 lanes (element mod 128),
// each a chain from +0 in ascending order; neighbouring lanes are added until one is left; runs are
// added in ascending order.
#ifndef TM_REFERENCE_ROWS_H
#define TM_REFERENCE_ROWS_H

#include "../checks.h"
#include "../host/parallel.h"
#include "../host/workspace.h"

namespace {

constexpr int64_t kRowLanes = 128, kRun = 4096;

float tree(float lanes[kRowLanes]) {
  for (int64_t width = kRowLanes / 2; width >= 1; width /= 2)
    for (int64_t i = 0; i < width; i++) lanes[i] = lanes[2 * i] + lanes[2 * i + 1];
  return lanes[0];
}

// Sum of `term(sum so far, element)` in the order L128.
template <typename Term>
float row_sum(int64_t width, Term term) {
  float total = 0.0f;
  for (int64_t first = 0; first < width; first += kRun) {
    float lanes[kRowLanes] = {0.0f};
    for (int64_t i = first; i < width && i < first + kRun; i++)
      lanes[i % kRowLanes] = term(lanes[i % kRowLanes], i);
    const float sum = tree(lanes);
    total = first == 0 ? sum : total + sum;
  }
  return total;
}

}  // namespace

// The names that ../training/rows.h is written with, for one number at a time.
namespace tmk {
namespace {

using Floats = float;

TM_FN float broadcast(float x) { return x; }
TM_FN float load_some(const float *from, int64_t) { return *from; }

inline float largest(const float *in, int64_t width) {
  float most = -infinity<float>();
  for (int64_t i = 0; i < width; i++) most = larger(in[i], most);
  return most;
}

template <typename Term>
float row_sum(int64_t width, Term term) {
  return ::row_sum(width, [=](float lane, int64_t i) { return term(lane, i, 1); });
}

template <typename Function>
void map_row(int64_t width, float *out, Function function) {
  for (int64_t i = 0; i < width; i++) out[i] = function(i, 1);
}

}  // namespace
}  // namespace tmk

#endif
