// The largest of each row. The order of (value, index) is total, so that any way of selecting gives
// the same answer; this is one text for every instruction set. A heap holds the best so far, its
// worst on top.
#ifndef TM_BEST_H
#define TM_BEST_H

#include "checks.h"
#include "host/parallel.h"
#include "math/order.h"

namespace {

struct Candidate {
  int32_t key, index;
};

// Larger keys come first, of equal ones the smaller index.
inline bool before(Candidate a, Candidate b) {
  return a.key != b.key ? a.key > b.key : a.index < b.index;
}

// A heap of indices into a row, in the result's own memory; the worst of them is at 0.
struct Heap {
  const float *row;
  int32_t *indices;
  int64_t size;

  Candidate at(int64_t place) const {
    return {tmk::order_key(row[indices[place]]), indices[place]};
  }
  // Puts `index` at `place` or under it, where it belongs.
  void sink(int64_t place, int32_t index) {
    const Candidate sinking{tmk::order_key(row[index]), index};
    for (int64_t child = 2 * place + 1; child < size; child = 2 * place + 1) {
      if (child + 1 < size && before(at(child), at(child + 1))) child++;
      if (!before(sinking, at(child))) break;
      indices[place] = indices[child];
      place = child;
    }
    indices[place] = index;
  }
};

inline void best_of_row(const float *row, int64_t width, int64_t count, int32_t *indices) {
  Heap heap{row, indices, count};
  for (int64_t i = 0; i < count; i++) indices[i] = static_cast<int32_t>(i);
  for (int64_t place = count / 2; place-- > 0;) heap.sink(place, indices[place]);
  int32_t worst = heap.at(0).key;
  for (int64_t i = count; i < width; i++) {
    if (tmk::order_key(row[i]) <= worst) continue;
    heap.sink(0, static_cast<int32_t>(i));
    worst = heap.at(0).key;
  }
  while (heap.size > 1) {  // the worst goes to the end, again and again
    const int32_t last = indices[--heap.size];
    indices[heap.size] = indices[0];
    heap.sink(0, last);
  }
}

inline int best_of_rows(const tmk_best &c) {
  if (!valid(c)) return TMK_BAD_ARGUMENT;
  parallel(c.pool, c.rows, [&](int64_t i, int) {
    const float *row = c.in + i * c.width;
    int32_t *indices = c.indices + i * c.count;
    best_of_row(row, c.width, c.count, indices);
    for (int64_t j = 0; c.values && j < c.count; j++)
      c.values[i * c.count + j] = tmk::canonical(row[indices[j]]);
  });
  return TMK_OK;
}

}  // namespace

#endif
