// Which of a chunk's inner elements tiles read where. Tiles that meet the same taps have one plan.
#ifndef TM_GATHER_PLAN_H
#define TM_GATHER_PLAN_H

#include "gather_shape.h"

namespace tmk {
namespace {

// `count` neighbouring inner elements: `from` of a row's own start, k of the panel's chunk.
struct Segment {
  int64_t from;
  int32_t k, count;
};

struct Plan {
  Segment segments[kChunk];
  int count;
  Turn turn;
  bool needed() const { return count > 0 || turn.first; }
};

// The plans of one chunk, the last of them kept; `row` and `pixel`: the source's distances.
class Planner {
 public:
  Planner(const Gather &gather, int64_t row, int64_t pixel, int64_t chunk)
      : g_(gather), row_(row), pixel_(pixel), chunk_(chunk) {}

  const Plan &of(TapRange y, TapRange x) {
    if (!(y_ == y && x_ == x)) make(y, x);
    return plan_;
  }

 private:
  void make(TapRange y, TapRange x) {
    y_ = y;
    x_ = x;
    plan_.count = 0;
    int64_t highest = 0;
    for (int i = y.first; i < y.last; i++)
      for (int j = x.first; j < x.last; j++) {
        const int64_t start = g_.tap(i, j) * g_.inner;
        highest = start + g_.inner - 1;
        add(start, g_.y.offset[i] * row_ + g_.x.offset[j] * pixel_);
      }
    plan_.turn = {chunk_ == 0, chunk_ == highest / kChunk};
  }

  // The part in the chunk of a tap's inner elements, which start at number `start`.
  void add(int64_t start, int64_t from) {
    const int64_t before = chunk_ * kChunk - start, first = before < 0 ? 0 : before;
    const int64_t last = least(before + kChunk, g_.inner);
    if (first >= last) return;
    const Segment segment{from + first, static_cast<int32_t>(first - before),
                          static_cast<int32_t>(last - first)};
    Segment *latest = plan_.segments + plan_.count - 1;
    if (plan_.count && latest->from + latest->count == segment.from &&
        latest->k + latest->count == segment.k)
      latest->count += segment.count;
    else
      plan_.segments[plan_.count++] = segment;
  }

  const Gather &g_;
  int64_t row_, pixel_, chunk_;
  TapRange y_{-1, -1}, x_{-1, -1};
  Plan plan_;
};

}  // namespace
}  // namespace tmk

#endif
