// Convolutions whose kernel is one pixel: products of matrices, of every pixel or of those the stride
// leaves. Terms and order are the same, so the bits are.
#ifndef TM_PIXELWISE_H
#define TM_PIXELWISE_H

#include "panels.h"
#include "taps.h"

namespace tmk {
namespace {

// Which of a convolution's tensors is computed.
enum Role { kResult, kImage, kWeights };

inline bool is_pixelwise(const tmk_convolution &c) {
  return c.kernel[0] == 1 && c.kernel[1] == 1 && c.padding[0] == 0 && c.padding[1] == 0 &&
         c.groups == 1;
}

class Pixelwise {
 public:
  Pixelwise(const tmk_convolution &c, Role role) : c_(c), layer_(c), role_(role) {}

  uint64_t needed() const {
    Workspace space;
    pixels(space);
    const tmk_gemm product = product_with(nullptr);
    return space.needed() + TMK_ENTRY(gemm_f32_workspace)(&product);
  }

  int run() const {
    Workspace space(c_.workspace);
    float *chosen = pixels(space);
    tmk_gemm product = product_with(chosen);
    const uint64_t size = TMK_ENTRY(gemm_f32_workspace)(&product);
    uint8_t *rest = space.part<uint8_t>(static_cast<int64_t>(size));
    if (!space.held()) return TMK_SMALL_WORKSPACE;
    product.workspace = {rest, size};
    if (strided() && role_ != kImage) choose(chosen);
    const int status = TMK_ENTRY(gemm_f32)(&product);
    if (strided() && role_ == kImage && status == TMK_OK) spread(chosen);
    return status;
  }

 private:
  bool strided() const { return c_.stride[0] > 1 || c_.stride[1] > 1; }

  float *pixels(Workspace &space) const {
    return strided() ? space.part<float>(layer_.pixels * c_.channels) : c_.image;
  }

  tmk_gemm product_with(float *image) const {
    const int64_t n = layer_.pixels, i = c_.channels, o = c_.filters;
    switch (role_) {
      case kResult:
        return {image, c_.weights, c_.result, n, i, o, i, 1, o, 1, o, {}, c_.pool};
      case kImage:
        return {c_.result, c_.weights, image, n, o, i, o, 1, 1, o, i, {}, c_.pool};
      default:
        return {image, c_.result, c_.weights, i, n, o, 1, i, o, 1, o, {}, c_.pool};
    }
  }

  void choose(float *to) const {
    parallel(c_.pool, c_.batch * layer_.height, [&](int64_t row, int) {
      const int64_t b = row / layer_.height, y = row % layer_.height * c_.stride[0];
      for (int64_t x = 0; x < layer_.width; x++)
        memcpy(to + (row * layer_.width + x) * c_.channels, image_at(c_, b, y, x * c_.stride[1]),
               c_.channels * sizeof *to);
    });
  }

  // Pixels that the stride skips have no part in the result.
  void spread(const float *from) const {
    parallel(c_.pool, c_.batch * c_.height, [&](int64_t row, int) {
      const int64_t b = row / c_.height, y = row % c_.height, oy = y / c_.stride[0];
      float *to = image_at(c_, b, y, 0);
      memset(to, 0, c_.width * c_.channels * sizeof *to);
      for (int64_t x = 0; x < layer_.width && y % c_.stride[0] == 0; x++)
        memcpy(to + x * c_.stride[1] * c_.channels,
               from + ((b * layer_.height + oy) * layer_.width + x) * c_.channels,
               c_.channels * sizeof *to);
    });
  }

  const tmk_convolution &c_;
  Layer layer_;
  Role role_;
};

}  // namespace
}  // namespace tmk

#endif
