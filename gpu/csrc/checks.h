// What a call must satisfy whatever the instruction set. The caller has checked shapes with better
// words (gpu/ops); this keeps a mistake there from becoming a write outside a buffer.
#ifndef TM_CHECKS_H
#define TM_CHECKS_H

#include "math/unary.h"
#include "tmkernels.h"

namespace {

constexpr int64_t kMostElements = int64_t{1} << 40;
constexpr int64_t kMostInner = 65536;  // of int8: sums stay below 2^31
constexpr int64_t kGroupUnit = 32;

inline bool counts(int64_t size) { return size >= 1 && size < kMostElements; }

inline bool counts(int64_t a, int64_t b) { return counts(a) && counts(b) && a < kMostElements / b; }

inline bool valid(const tmk_gemm &c) {
  return counts(c.rows, c.inner) && counts(c.inner, c.columns) && counts(c.rows, c.columns) &&
         c.left && c.right && c.out && c.out_row >= c.columns;
}

inline bool grouped(int32_t kind, int32_t group) {
  return kind != TMK_I8 || (group >= kGroupUnit && group % kGroupUnit == 0 && group <= kMostInner);
}

inline bool valid(const tmk_packing &c) {
  return counts(c.inner, c.columns) && c.weights && c.packed && grouped(c.kind, c.group);
}

inline bool valid(const tmk_linear &c) {
  return counts(c.rows, c.inner) && counts(c.inner, c.columns) && counts(c.rows, c.columns) &&
         c.left && c.packed && c.out && c.left_row >= c.inner && c.out_row >= c.columns &&
         grouped(c.kind, c.group);
}

inline bool valid_unary(const tmk_elements &c) {
  return counts(c.count) && c.left && c.out && c.function >= 0 && c.function < tmk::kUnaryCount;
}

inline bool valid_binary(const tmk_elements &c) {
  return counts(c.count) && c.left && c.right && c.out && c.function >= 0 &&
         c.function < tmk::kBinaryCount;
}

inline bool valid(const tmk_rows &c) { return counts(c.rows, c.width) && c.in && c.out; }

inline bool valid(const tmk_rope &c) {
  return counts(c.tokens, c.heads) && counts(c.tokens * c.heads, c.size) && c.size % 2 == 0 &&
         c.in && c.positions && c.frequencies && c.out;
}

inline bool valid(const tmk_gather &c) {
  return counts(c.count, c.width) && counts(c.rows, c.width) && c.table && c.indices && c.out;
}

inline bool in_range(const tmk_gather &c) {
  for (int64_t i = 0; i < c.count; i++)
    if (c.indices[i] < 0 || c.indices[i] >= c.rows) return false;
  return true;
}

inline bool valid(const tmk_best &c) {
  return counts(c.rows, c.width) && c.width < int64_t{1} << 31 && c.count >= 1 &&
         c.count <= c.width && c.in && c.indices;
}

inline bool valid(const tmk_random &c) {
  constexpr uint64_t kMost = uint64_t{1} << 62;
  return c.out && c.first < kMost && c.count >= 1 && c.count < kMost && c.distribution >= 0 &&
         c.distribution <= 2;
}

}  // namespace

#endif
