// Convolutions and their gradients, entry by entry: the definition, one text for every instruction
// set, since the vector kernels fall back on it where padding meets what is not finite, and for CUDA.
// Each sum has the order C256 (see docs/kernels.md) over
//   forward           (ky, kx, channel of the group)
//   input gradient    (kernel height - 1 - ky, kernel width - 1 - kx, filter of the group)
//   weight gradient   the pixel of the result, (image, y, x)
// with terms that meet only padding, or no pixel at all, counted but left out.
#ifndef TM_SHAPES_CONVOLUTION_H
#define TM_SHAPES_CONVOLUTION_H

#include "../math/elements.h"
#include "../tmkernels.h"

namespace {

// Sizes that follow from a call's.
struct Layer {
  int64_t height, width;   // of the result
  int64_t inputs, outputs;  // channels and filters of one group
  int64_t taps, pixels;     // of the kernel, of the result

  TM_FN explicit Layer(const tmk_convolution &c)
      : height(result_size(c, 0, c.height)),
        width(result_size(c, 1, c.width)),
        inputs(c.channels / c.groups),
        outputs(c.filters / c.groups),
        taps(c.kernel[0] * c.kernel[1]),
        pixels(c.batch * height * width) {}

  TM_FN static int64_t result_size(const tmk_convolution &c, int axis, int64_t size) {
    const int64_t reach = c.dilation[axis] * (c.kernel[axis] - 1) + 1;
    const int64_t room = size + 2 * c.padding[axis] - reach;
    return room < 0 ? 0 : room / c.stride[axis] + 1;
  }
};

// A sum in the order C256, term by term in ascending k; terms may be left out.
class OrderedSum {
 public:
  TM_FN void add(int64_t k, float a, float b) {
    if (k / kChunkTerms != chunk_) {
      total_ = total_ + sum_;
      sum_ = 0.0f;
      chunk_ = k / kChunkTerms;
    }
    sum_ = tmk::fma(a, b, sum_);
  }
  TM_FN float value() const { return tmk::canonical(total_ + sum_); }

 private:
  static constexpr int64_t kChunkTerms = 256;
  float total_ = 0.0f, sum_ = 0.0f;
  int64_t chunk_ = 0;
};

// The pixel of the image that tap k meets at pixel i of the result, or -1.
TM_FN int64_t met_by(const tmk_convolution &c, int axis, int64_t i, int64_t k, int64_t size) {
  const int64_t at = i * c.stride[axis] + k * c.dilation[axis] - c.padding[axis];
  return at < size ? at : -1;
}

// The pixel of the result at which tap k meets pixel i of the image, or -1.
TM_FN int64_t meeting(const tmk_convolution &c, int axis, int64_t i, int64_t k, int64_t size) {
  const int64_t at = i + c.padding[axis] - k * c.dilation[axis];
  return at % c.stride[axis] == 0 && at / c.stride[axis] < size ? at / c.stride[axis] : -1;
}

TM_FN float *image_at(const tmk_convolution &c, int64_t b, int64_t y, int64_t x) {
  return c.image + ((b * c.height + y) * c.width + x) * c.channels;
}
TM_FN float *weights_at(const tmk_convolution &c, const Layer &layer, int64_t ky, int64_t kx) {
  return c.weights + (ky * c.kernel[1] + kx) * layer.inputs * c.filters;
}

TM_FN float result_entry(const tmk_convolution &c, const Layer &layer, int64_t b, int64_t y,
                         int64_t x, int64_t filter) {
  const int64_t group = filter / layer.outputs;
  OrderedSum sum;
  for (int64_t ky = 0; ky < c.kernel[0]; ky++)
    for (int64_t kx = 0; kx < c.kernel[1]; kx++) {
      const int64_t iy = met_by(c, 0, y, ky, c.height), ix = met_by(c, 1, x, kx, c.width);
      if (iy < 0 || ix < 0) continue;
      const float *image = image_at(c, b, iy, ix) + group * layer.inputs;
      const float *weights = weights_at(c, layer, ky, kx) + filter;
      for (int64_t i = 0; i < layer.inputs; i++)
        sum.add((ky * c.kernel[1] + kx) * layer.inputs + i, image[i], weights[i * c.filters]);
    }
  return sum.value();
}

TM_FN float image_entry(const tmk_convolution &c, const Layer &layer, int64_t b, int64_t y,
                        int64_t x, int64_t channel) {
  const int64_t group = channel / layer.inputs, inside = channel % layer.inputs;
  OrderedSum sum;
  for (int64_t turned = 0; turned < layer.taps; turned++) {
    const int64_t tap = layer.taps - 1 - turned, ky = tap / c.kernel[1], kx = tap % c.kernel[1];
    const int64_t oy = meeting(c, 0, y, ky, layer.height), ox = meeting(c, 1, x, kx, layer.width);
    if (oy < 0 || ox < 0) continue;
    const int64_t first = group * layer.outputs;
    const float *result =
        c.result + ((b * layer.height + oy) * layer.width + ox) * c.filters + first;
    const float *weights = weights_at(c, layer, ky, kx) + inside * c.filters + first;
    for (int64_t o = 0; o < layer.outputs; o++)
      sum.add(turned * layer.outputs + o, result[o], weights[o]);
  }
  return sum.value();
}

TM_FN float weights_entry(const tmk_convolution &c, const Layer &layer, int64_t ky, int64_t kx,
                          int64_t inside, int64_t filter) {
  const int64_t channel = filter / layer.outputs * layer.inputs + inside;
  OrderedSum sum;
  for (int64_t pixel = 0; pixel < layer.pixels; pixel++) {
    const int64_t row = pixel / layer.width, y = row % layer.height;
    const int64_t iy = met_by(c, 0, y, ky, c.height);
    const int64_t ix = met_by(c, 1, pixel % layer.width, kx, c.width);
    if (iy < 0 || ix < 0) continue;
    sum.add(pixel, image_at(c, row / layer.height, iy, ix)[channel],
            c.result[pixel * c.filters + filter]);
  }
  return sum.value();
}

}  // namespace

#endif
