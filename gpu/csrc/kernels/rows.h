// Sums over rows in the order L128 (reference/rows.cpp): 128 lanes are 128 / kLanes vectors.
#ifndef TM_ROWS_H
#define TM_ROWS_H

#include "lanes.h"

#include "../host/parallel.h"
#include "../host/workspace.h"
#include "../math/elements.h"

namespace tmk {
namespace {

constexpr int64_t kRowLanes = 128, kRun = 4096;
constexpr int kVectors = kRowLanes / kLanes;

TM_FN float tree(Floats lanes[kVectors]) {
#pragma GCC unroll 8
  for (int width = kVectors / 2; width >= 1; width /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < width; i++) lanes[i] = neighbour_sums(lanes[2 * i], lanes[2 * i + 1]);
#pragma GCC unroll 8
  for (int width = kLanes; width > 1; width /= 2) lanes[0] = neighbour_sums(lanes[0], lanes[0]);
  return lanes[0][0];
}

// The rest of a run that has no 128 elements: lanes that get none keep their sums.
template <typename Term>
TM_FN void last_terms(int64_t first, int64_t count, Term term, Floats lanes[kVectors]) {
  for (int v = 0; v < kVectors && v * kLanes < count; v++) {
    const int64_t there = count - v * kLanes;
    const Floats sum = term(lanes[v], first + v * kLanes, there);
    if (there >= kLanes)
      lanes[v] = sum;
    else
      for (int i = 0; i < there; i++) lanes[v][i] = sum[i];
  }
}

// Sum of term(sums so far, first element, elements there) over a row.
template <typename Term>
TM_FN float row_sum(int64_t width, Term term) {
  float total = 0.0f;
  for (int64_t first = 0; first < width; first += kRun) {
    const int64_t last = least(width, first + kRun);
    Floats lanes[kVectors] = {};
    int64_t i = first;
    for (; i + kRowLanes <= last; i += kRowLanes)
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; v++) lanes[v] = term(lanes[v], i + v * kLanes, kLanes);
    last_terms(i, last - i, term, lanes);
    const float sum = tree(lanes);
    total = first == 0 ? sum : total + sum;
  }
  return total;
}

// The largest of a row; NaN counts as less than everything.
inline float largest(const float *in, int64_t width) {
  Floats most = all<Floats>(-infinity<float>());
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) most = larger(load(in + i), most);
  float result = -infinity<float>();
  for (int lane = 0; lane < kLanes; lane++) result = larger(most[lane], result);
  for (; i < width; i++) result = larger(in[i], result);
  return result;
}

// out[i] = function(i, elements there) for all elements of a row.
template <typename Function>
TM_FN void map_row(int64_t width, float *out, Function function) {
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) store(out + i, function(i, kLanes));
  if (i < width) store_part(out + i, function(i, width - i), width - i);
}

}  // namespace
}  // namespace tmk

#endif
