// Exact products of integers, blocked as in Goto and van de Geijn, "Anatomy of High-Performance
// Matrix Multiplication" (2008): a tile of sums stays in registers, a run of kDepth inner elements of
// one right panel in the first cache, of a block of left rows in the second. Neither blocking nor
// order shows in the result.
//
// The inner dimension is packed in 32-bit groups of kTogether elements (integers.h of the
// instruction set). Everything outside the matrices is packed as zero on the right, so the inner
// loop knows no ragged edge.
#ifndef TM_INTEGER_PRODUCT_H
#define TM_INTEGER_PRODUCT_H

#include "integers.h"

#include "../host/parallel.h"
#include "../host/workspace.h"

namespace tmk {
namespace {

constexpr int64_t kPanel = 2 * kLanes;
constexpr int64_t kDepth = 256 * kTogether;
constexpr int64_t kGroups = kDepth / kTogether;
constexpr int64_t kLeftRow = kGroups + 16;          // no two rows start in the same cache set
constexpr int64_t kBlockRows = 64 * kTileRows / (kLanes / 8);
constexpr int64_t kBlockColumns = 512;
constexpr int64_t kLine = 16;  // words in a line of the caches

// sums[kRows][kPanel] += left[kRows][groups] right[groups][kPanel], starting with `start` instead
// where there are no sums yet; only the first kWide vectors of a panel. Rows of the left operand lie
// kRow apart, their groups kGroup.
template <int kRows, int kWide, int64_t kRow = kLeftRow, int64_t kGroup = 1>
void multiply_tile(const uint32_t *left, const uint32_t *right, int64_t groups, uint32_t *sums,
                   const uint32_t *start, bool first) {
  Words sum[kRows][kWide];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; r++)
#pragma GCC unroll 2
    for (int h = 0; h < kWide; h++) {
      sum[r][h] = load(start + h * kLanes);
      if (!first) sum[r][h] = sum[r][h] + load(sums + r * kPanel + h * kLanes);
    }
  for (int64_t k = 0; k < groups; k += kLine) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; r++)  // the tile after this one
      __builtin_prefetch(left + (kRows + r) * kRow + k * kGroup);
    const int64_t last = least(k + kLine, groups);
#pragma GCC unroll 4
    for (int64_t i = k; i < last; i++, right += kPanel) {
      Words columns[kWide];
#pragma GCC unroll 2
      for (int h = 0; h < kWide; h++) columns[h] = load(right + h * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; r++) {
        const Words factor = broadcast(left[r * kRow + i * kGroup]);
#pragma GCC unroll 2
        for (int h = 0; h < kWide; h++) sum[r][h] = dot(sum[r][h], factor, columns[h]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; r++)
#pragma GCC unroll 2
    for (int h = 0; h < kWide; h++) store(sums + r * kPanel + h * kLanes, sum[r][h]);
}

// `count` inner elements of one row; groups(load, place) are the kLanes groups from `place` on.
template <typename Groups>
TM_FN void pack_row(int64_t count, uint32_t *packed, Groups groups) {
  constexpr int64_t kStep = kLanes * kTogether;
  int64_t done = 0;
  for (; done + kStep <= count; done += kStep, packed += kLanes)
    store(packed, groups([](const void *from) { return load_row(from); }, done));
  const int64_t left = count - done;
  const auto load_part = [=](const void *from) { return load_row_part(from, left); };
  if (left) store(packed, groups(load_part, done));
}

// The rows of a block, one run of the inner dimension.
template <typename Problem>
void pack_left(const Problem &p, int64_t i, int64_t height, int64_t k, int64_t depth,
               uint32_t *packed) {
  for (int64_t r = 0; r < height; r++) p.pack_row_of_left(i + r, k, depth, packed + r * kLeftRow);
}

// One panel of columns, and what its sums start with: nothing, or what takes back the offset of the
// left numbers.
template <typename Problem>
TM_FN void pack_panel(const Problem &p, int64_t k, int64_t groups, int64_t j, uint32_t *packed,
                      uint32_t *start) {
  Words sums[2] = {};
  for (int64_t g = 0; g < groups; g++, packed += kPanel) {
    Words both[2];
    p.right(k + g * kTogether, j, both);
    store(packed, both[0]);
    store(packed + kLanes, both[1]);
    if (kOffsetLeft)
      for (int h = 0; h < 2; h++) sums[h] = dot(sums[h], broadcast(0x80808080u), both[h]);
  }
  store(start, Words{} - sums[0]);
  store(start + kLanes, Words{} - sums[1]);
}

inline int64_t groups_in(int64_t inner, int64_t k) {
  return (least(kDepth, inner - k) + kTogether - 1) / kTogether;
}

// `Problem` says what is multiplied: sizes rows, inner, columns; pack_row_of_left(i, k, depth,
// packed); right(k, j, groups): groups of kTogether rows of the right operand; finish(i, j, height,
// sums): the sums of a tile of kPanel columns are whole.
template <typename Problem>
class IntegerProduct {
 public:
  IntegerProduct(const Problem &problem, int64_t workers, Workspace &space)
      : p_(problem),
        height_(least(rounded_up(p_.rows, kTileRows), kBlockRows)),
        width_(least(rounded_up(p_.columns, kPanel), kBlockColumns)),
        runs_((p_.inner + kDepth - 1) / kDepth),
        workers_(workers),
        left_(space.part<uint32_t>(workers * left_size())),
        right_(space.part<uint32_t>(workers * right_size())),
        starts_(space.part<uint32_t>(workers * width_)),
        sums_(space.part<uint32_t>(workers * sums_size())) {}

  // Tasks are blocks of rows, cut by columns too where there are few of them.
  void run(tmk_pool *pool) {
    const int64_t blocks = (p_.rows + height_ - 1) / height_;
    const int64_t panels = (p_.columns + kPanel - 1) / kPanel;
    const int64_t wanted = workers_ == 1 ? 1 : 4 * workers_;
    const int64_t groups = least((wanted + blocks - 1) / blocks, panels);
    parallel(pool, blocks * groups, [&](int64_t task, int worker) {
      const int64_t group = task % groups;
      const int64_t first = panels * group / groups, last = panels * (group + 1) / groups;
      multiply_rows(task / groups * height_, first * kPanel, least(last * kPanel, p_.columns),
                    worker);
    });
  }

 private:
  int64_t left_size() const { return runs_ * (height_ + kTileRows) * kLeftRow; }
  int64_t right_size() const { return width_ * kGroups; }
  int64_t sums_size() const { return runs_ == 1 ? kTileRows * kPanel : height_ * width_; }
  uint32_t *left_of(int64_t run, int worker) const {
    return left_ + worker * left_size() + run * (height_ + kTileRows) * kLeftRow;
  }

  void multiply_rows(int64_t i, int64_t first, int64_t last, int worker) {
    const int64_t height = least(height_, p_.rows - i);
    for (int64_t j = first; j < last; j += width_)
      for (int64_t run = 0; run < runs_; run++) {
        const int64_t k = run * kDepth, depth = least(kDepth, p_.inner - k);
        if (j == first) pack_left(p_, i, height, k, depth, left_of(run, worker));
        pack_right(j, least(width_, last - j), run, worker);
        multiply_block(i, height, j, least(width_, last - j), run, worker);
      }
  }

  void pack_right(int64_t j, int64_t width, int64_t run, int worker) {
    const int64_t k = run * kDepth, groups = groups_in(p_.inner, k);
    uint32_t *packed = right_ + worker * right_size(), *start = starts_ + worker * width_;
    for (int64_t c = 0; c < width; c += kPanel)
      pack_panel(p_, k, groups, j + c, packed + c * groups, start + c);
  }

  void multiply_block(int64_t i, int64_t height, int64_t j, int64_t width, int64_t run,
                      int worker) {
    const int64_t groups = groups_in(p_.inner, run * kDepth);
    const uint32_t *left = left_of(run, worker), *right = right_ + worker * right_size();
    const uint32_t *start = starts_ + worker * width_;
    uint32_t *sums = sums_ + worker * sums_size();
    for (int64_t c = 0; c < width; c += kPanel)
      for (int64_t r = 0; r < height; r += kTileRows) {
        multiply_tile<kTileRows, 2>(left + r * kLeftRow, right + c * groups, groups, sums, start + c,
                                 run == 0);
        if (run + 1 == runs_) p_.finish(i + r, j + c, least(kTileRows, height - r), sums);
        if (runs_ > 1) sums += kTileRows * kPanel;
      }
  }

  const Problem p_;
  int64_t height_, width_, runs_, workers_;
  uint32_t *left_, *right_, *starts_, *sums_;
};

// The same for results of one panel: the right operand is packed once, and each tile of left rows is
// used as soon as it is packed.
template <typename Problem>
class SkinnyProduct {
 public:
  SkinnyProduct(const Problem &problem, int64_t workers, Workspace &space)
      : p_(problem),
        right_(space.part<uint32_t>(rounded_up(p_.inner, kDepth) / kTogether * kPanel)),
        starts_(space.part<uint32_t>(rounded_up(p_.inner, kDepth) / kDepth * kPanel)),
        left_(space.part<uint32_t>(workers * kLeftSize)) {}

  void run(tmk_pool *pool) {
    for (int64_t k = 0; k < p_.inner; k += kDepth)
      pack_panel(p_, k, groups_in(p_.inner, k), 0, right_at(k), start_at(k));
    parallel_ranges(pool, p_.rows, 8 * kTileRows, [&](int64_t first, int64_t last, int worker) {
      for (int64_t i = first; i < last; i += kTileRows)
        multiply_rows(i, least(kTileRows, last - i), left_ + worker * kLeftSize);
    });
  }

 private:
  static constexpr int64_t kLeftSize = kTileRows * kLeftRow;
  uint32_t *right_at(int64_t k) const { return right_ + k / kTogether * kPanel; }
  uint32_t *start_at(int64_t k) const { return starts_ + k / kDepth * kPanel; }

  void multiply_rows(int64_t i, int64_t height, uint32_t *left) {
    const auto multiply = p_.columns > kLanes ? multiply_tile<kTileRows, 2>
                                              : multiply_tile<kTileRows, 1>;
    alignas(64) uint32_t sums[kTileRows * kPanel] = {};
    for (int64_t k = 0; k < p_.inner; k += kDepth) {
      pack_left(p_, i, height, k, least(kDepth, p_.inner - k), left);
      multiply(left, right_at(k), groups_in(p_.inner, k), sums, start_at(k), k == 0);
    }
    p_.finish(i, 0, height, sums);
  }

  const Problem p_;
  uint32_t *right_, *starts_, *left_;
};

// Lays out the workspace of the product that suits the problem and hands it to `use`.
template <typename Problem, typename Use>
auto with_product(const Problem &problem, int64_t workers, Workspace &space, Use use) {
  if (problem.columns <= kPanel) return use(SkinnyProduct<Problem>(problem, workers, space));
  return use(IntegerProduct<Problem>(problem, workers, space));
}

}  // namespace
}  // namespace tmk

#endif
