// Windows that move over an image: one text for every instruction set and for CUDA.
#ifndef TM_SHAPES_WINDOWS_H
#define TM_SHAPES_WINDOWS_H

#include "../math/scalar.h"
#include "../tmkernels.h"

namespace {

struct Windows {
  const tmk_pooling &c;
  int64_t height, width;  // of the result

  TM_FN explicit Windows(const tmk_pooling &c)
      : c(c), height(result_size(c, 0, c.height)), width(result_size(c, 1, c.width)) {}

  TM_FN static int64_t result_size(const tmk_pooling &c, int axis, int64_t size) {
    const int64_t room = size + 2 * c.padding[axis] - c.window[axis];
    return room < 0 ? 0 : room / c.stride[axis] + 1;
  }
  TM_FN int64_t image(int64_t b, int64_t y, int64_t x) const {
    return ((b * c.height + y) * c.width + x) * c.channels;
  }
  TM_FN int64_t result(int64_t b, int64_t y, int64_t x) const {
    return ((b * height + y) * width + x) * c.channels;
  }
  // The pixels of window i along an axis that are in the image, as taps first .. last-1.
  TM_FN void taps(int axis, int64_t i, int64_t size, int64_t *first, int64_t *last) const {
    const int64_t start = i * c.stride[axis] - c.padding[axis];
    *first = start < 0 ? -start : 0;
    const int64_t rest = size - start;
    *last = c.window[axis] < rest ? c.window[axis] : rest;
  }
  // The windows first .. last-1 of `count` that have pixel i.
  TM_FN void having(int axis, int64_t i, int64_t count, int64_t *first, int64_t *last) const {
    const int64_t end = i + c.padding[axis], start = end - c.window[axis] + 1;
    *first = start <= 0 ? 0 : (start + c.stride[axis] - 1) / c.stride[axis];
    const int64_t after = end / c.stride[axis] + 1;
    *last = after < count ? after : count;
  }
};

}  // namespace

#endif
