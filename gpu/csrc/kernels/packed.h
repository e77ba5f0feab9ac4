// Weights as linear.cpp reads them: panels of kPanel columns, zero beyond the matrix. Float:
// [panels][inner][kPanel]. bfloat16: [panels][inner / 2][kPanel][2]. Eight bits: [panels][inner /
// 4][kPanel][4], then the scales [panels][groups][kPanel], then, where left numbers have an offset,
// what integer sums start with, laid out like the scales.
#ifndef TM_PACKED_H
#define TM_PACKED_H

#include "gemv.h"
#include "integers.h"

#include "../math/quantize.h"

namespace tmk {
namespace {

constexpr int64_t kQuad = 4;

inline int64_t panels_of(int64_t columns) { return (columns + kPanel - 1) / kPanel; }
inline int64_t pairs_of(int64_t inner) { return (inner + 1) / 2; }
inline int64_t quads_of(int64_t inner) { return (inner + kQuad - 1) / kQuad; }
inline int64_t groups_of(int64_t inner, int64_t group) { return (inner + group - 1) / group; }

// Where the parts of packed weights lie.
struct Packed {
  char *numbers;
  float *scales;
  uint32_t *starts;
  uint64_t size;

  Packed(const void *start, int64_t inner, int64_t columns, int32_t kind, int64_t group) {
    const int64_t words = kind == TMK_F32    ? inner
                          : kind == TMK_BF16 ? pairs_of(inner)
                                             : quads_of(inner);
    const int64_t row = kPanel * panels_of(columns);
    const int64_t groups = kind == TMK_I8 ? groups_of(inner, group) : 0;
    numbers = static_cast<char *>(const_cast<void *>(start));
    scales = reinterpret_cast<float *>(numbers + 4 * words * row);
    starts = reinterpret_cast<uint32_t *>(scales + groups * row);
    size = 4 * row * (words + (kQuadOffset ? 2 : 1) * groups);
  }
};

// The largest magnitude of a group, and whether all of it is finite.
template <typename At>
Scale group_scale(int64_t count, At at) {
  float largest = 0.0f;
  bool finite = true;
  for (int64_t k = 0; k < count; k++) {
    const float size = magnitude(at(k));
    largest = larger(size, largest);
    finite = finite && size < infinity<float>();
  }
  return scale_of(largest, finite);
}

}  // namespace
}  // namespace tmk

#endif
