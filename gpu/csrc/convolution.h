// Calls of convolutions that are right, and all their entries one after the other, for the reference
// and where vector kernels fall back on it; shapes/convolution.h is the definition.
#ifndef TM_CONVOLUTION_H
#define TM_CONVOLUTION_H

#include "checks.h"
#include "host/parallel.h"
#include "shapes/convolution.h"

namespace {

constexpr int64_t kMostKernel = 64;
constexpr int64_t kMostPixels = int64_t{1} << 31;

inline bool valid(const tmk_convolution &c) {
  for (int axis = 0; axis < 2; axis++)
    if (c.kernel[axis] < 1 || c.kernel[axis] > kMostKernel || c.stride[axis] < 1 ||
        c.dilation[axis] < 1 || c.padding[axis] < 0 || c.stride[axis] >= kMostPixels ||
        c.dilation[axis] >= kMostPixels || c.padding[axis] >= kMostPixels)
      return false;
  if (!counts(c.height, c.width) || !counts(c.batch, c.height * c.width) ||
      !counts(c.batch * c.height * c.width, c.channels) || c.height >= kMostPixels ||
      c.width >= kMostPixels || c.groups < 1 || c.filters < 1 || c.filters >= kMostPixels ||
      c.channels % c.groups || c.filters % c.groups)
    return false;
  const Layer layer(c);
  return layer.height >= 1 && layer.width >= 1 && counts(layer.height, layer.width) &&
         counts(c.batch, layer.height * layer.width) && counts(layer.pixels, c.filters) &&
         counts(layer.taps * c.channels, c.filters) && c.image && c.weights && c.result;
}

inline void conv2d_entries(const tmk_convolution &c) {
  const Layer layer(c);
  parallel(c.pool, c.batch * layer.height, [&](int64_t row, int) {
    for (int64_t x = 0; x < layer.width; x++)
      for (int64_t o = 0; o < c.filters; o++)
        c.result[(row * layer.width + x) * c.filters + o] =
            result_entry(c, layer, row / layer.height, row % layer.height, x, o);
  });
}

inline void conv2d_input_entries(const tmk_convolution &c) {
  const Layer layer(c);
  parallel(c.pool, c.batch * c.height, [&](int64_t row, int) {
    for (int64_t x = 0; x < c.width; x++)
      for (int64_t i = 0; i < c.channels; i++)
        c.image[(row * c.width + x) * c.channels + i] =
            image_entry(c, layer, row / c.height, row % c.height, x, i);
  });
}

inline void conv2d_weights_entries(const tmk_convolution &c) {
  const Layer layer(c);
  parallel(c.pool, layer.taps * layer.inputs, [&](int64_t row, int) {
    const int64_t tap = row / layer.inputs;
    for (int64_t o = 0; o < c.filters; o++)
      c.weights[row * c.filters + o] = weights_entry(c, layer, tap / c.kernel[1],
                                                     tap % c.kernel[1], row % layer.inputs, o);
  });
}

}  // namespace

#endif
