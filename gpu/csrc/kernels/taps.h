// Which pixels a sum of a convolution meets, for the result and for the input's gradient alike: both
// gather, pixel by pixel of what they write, from the pixels of a source.
#ifndef TM_TAPS_H
#define TM_TAPS_H

#include "../convolution.h"
#include "../host/workspace.h"

namespace tmk {
namespace {

// Taps first .. last-1.
struct TapRange {
  int first, last;
  bool operator==(TapRange other) const { return first == other.first && last == other.last; }
};

// One axis: row pixel u meets the source's pixel u * step + offset[i] by the tap of number[i]; both
// ascend. Row pixels are written to out_first + u * out_step.
struct Axis {
  int64_t size;  // of the source
  int64_t count, step, out_first, out_step;
  int taps = 0;
  int64_t offset[kMostKernel];
  int number[kMostKernel];

  // Taps that meet a pixel of the source from row pixel u.
  TapRange valid(int64_t u) const {
    TapRange range{0, taps};
    while (range.first < taps && u * step + offset[range.first] < 0) range.first++;
    while (range.last > range.first && u * step + offset[range.last - 1] >= size) range.last--;
    return range;
  }
  bool padded() const {
    return taps && (offset[0] < 0 || (count - 1) * step + offset[taps - 1] >= size);
  }
  bool plain() const {
    return taps == 1 && offset[0] == 0 && step == 1 && out_step == 1 && count == size;
  }
  void add(int64_t at, int tap) {
    offset[taps] = at;
    number[taps++] = tap;
  }
};

inline Axis forward_axis(const tmk_convolution &c, int axis, int64_t size, int64_t count) {
  Axis taps{size, count, c.stride[axis], 0, 1, 0, {}, {}};
  for (int k = 0; k < c.kernel[axis]; k++)
    taps.add(k * c.dilation[axis] - c.padding[axis], k);
  return taps;
}

// Pixels first, first + stride, ... of the image, which meet the same taps. `size`: of the result,
// `whole`: of the image.
inline Axis backward_axis(const tmk_convolution &c, int axis, int64_t size, int64_t whole,
                          int64_t first) {
  const int64_t stride = c.stride[axis];
  Axis taps{size, (whole - first + stride - 1) / stride, 1, first, stride, 0, {}, {}};
  for (int turned = 0; turned < c.kernel[axis]; turned++) {
    const int64_t tap = c.kernel[axis] - 1 - turned;
    const int64_t at = first + c.padding[axis] - tap * c.dilation[axis];
    if (at % stride == 0) taps.add(at / stride, turned);
  }
  return taps;
}

// Pieces of at most `size` of 0 .. count-1, as even as can be: the first `longer` have one more.
struct Pieces {
  int64_t pieces, shorter, longer;
  Pieces(int64_t count, int64_t size)
      : pieces((count + size - 1) / size), shorter(count / pieces), longer(count % pieces) {}
  int64_t first(int64_t piece) const { return piece * shorter + least(piece, longer); }
  int64_t length(int64_t piece) const { return shorter + (piece < longer); }
  int64_t longest() const { return shorter + (longer > 0); }
};

}  // namespace
}  // namespace tmk

#endif
