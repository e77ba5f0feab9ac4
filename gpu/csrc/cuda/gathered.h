// The operands of a convolution as a product (implicit GEMM). One side gathers pixels: what meets only
// padding, or no pixel, is absent and has no part in a sum, so that a tile leaves it out.
#ifndef TM_CUDA_GATHERED_H
#define TM_CUDA_GATHERED_H

#include "../shapes/convolution.h"
#include "float_tile.h"

namespace tmk {
namespace {

// Mostly by 32-bit division, which is several times faster on a device.
TM_FN int64_t quotient(int64_t a, int64_t b) {
  return (a | b) >> 31 ? a / b : static_cast<int32_t>(a) / static_cast<int32_t>(b);
}

constexpr int64_t kNowhere = -(int64_t{1} << 50);

// Of a row of the product: the image it reads in (or the result), and where from.
struct Pixel {
  int64_t image, y, x;
};

TM_FN Pixel pixel_of(int64_t number, int64_t batch, int64_t height, int64_t width) {
  const int64_t row = quotient(number, width), image = quotient(row, height);
  if (image >= batch) return {0, kNowhere, kNowhere};
  return {image, row - image * height, number - row * width};
}

// Where tap k of an axis meets it, from a pixel's place on; less than 0 where it does not. kBack: in
// the result, whose places are strides apart. Int: of 32 or 64 bits.
template <bool kBack, typename Int>
TM_FN Int met(const tmk_convolution &c, int axis, Int from, Int k) {
  const Int distance = k * static_cast<Int>(c.dilation[axis]);
  if (!kBack) return from + distance;
  const Int at = from - distance, stride = static_cast<Int>(c.stride[axis]);
  if (stride == 1 || at < 0) return at;
  const Int place = sizeof at == 4 ? at / stride : static_cast<Int>(quotient(at, stride));
  return place * stride == at ? place : -1;
}

// To the pixel that is `steps` further.
TM_FN void advance(Pixel &pixel, int64_t steps, const Layer &layer) {
  for (pixel.x += steps; pixel.x >= layer.width; pixel.x -= layer.width) {
    if (++pixel.y < layer.height) continue;
    pixel.y = 0;
    pixel.image++;
  }
}

// Brings numbers in their final form, and marks what is absent: at the end, so that nothing waits for
// memory.
template <bool kInnerTogether>
struct Gathered : Scattered<kInnerTogether> {
  static constexpr bool kGaps = true;
  unsigned there = 0;  // a bit for each that was fetched

  TM_FN void finish(FloatSide &side) {
#pragma unroll
    for (int i = 0; i < kFetched; i++)
      this->fetched[i] = there >> i & 1 ? canonical(this->fetched[i]) : absent();
    Scattered<kInnerTogether>::finish(side);
  }
};

// The left side of forward (kBack: of the input gradient): rows are pixels, inner elements are
// channels (filters) of taps. The pixels of a tile lie in shared memory.
template <bool kBack>
struct GatheredPixels : Gathered<true> {
  const tmk_convolution &c;
  const Layer &layer;
  const Pixel *pixels;
  int64_t group, k;  // k: the next inner element

  TM_FN GatheredPixels(const tmk_convolution &c, const Layer &layer, Pixel *pixels, int64_t group,
                       int64_t first, int64_t k)
      : c(c), layer(layer), pixels(pixels), group(group), k(k) {
    if (threadIdx.x < kFloatTile) {
      const int64_t number = first + threadIdx.x;
      Pixel pixel = kBack ? pixel_of(number, c.batch, c.height, c.width)
                          : pixel_of(number, c.batch, layer.height, layer.width);
      if (pixel.y != kNowhere) {
        pixel.y = kBack ? pixel.y + c.padding[0] : pixel.y * c.stride[0] - c.padding[0];
        pixel.x = kBack ? pixel.x + c.padding[1] : pixel.x * c.stride[1] - c.padding[1];
      }
      pixels[threadIdx.x] = pixel;
    }
    __syncthreads();
  }

  TM_FN void start(int, FloatSide &) {
    const int64_t n = k + own_inner(0), deep = kBack ? layer.outputs : layer.inputs;
    const int64_t turned = quotient(n, deep), inside = n - turned * deep;
    const int64_t tap = kBack ? layer.taps - 1 - turned : turned;
    const int64_t ky = quotient(tap, c.kernel[1]), kx = tap - ky * c.kernel[1];
    const int64_t height = kBack ? layer.height : c.height, width = kBack ? layer.width : c.width;
    const int64_t all = kBack ? c.filters : c.channels;
    const float *from = (kBack ? c.result : c.image) + group * deep + inside;
    there = 0;
#pragma unroll
    for (int i = 0; i < kFetched; i++) {
      const Pixel pixel = pixels[own_outer(i)];
      const int64_t y = met<kBack>(c, 0, pixel.y, ky), x = met<kBack>(c, 1, pixel.x, kx);
      if (turned >= layer.taps || y < 0 || y >= height || x < 0 || x >= width) continue;
      fetched[i] = from[((pixel.image * height + y) * width + x) * all];
      there |= 1u << i;
    }
    k += kFloatInner;
  }
};

// The left side of the weight gradient: rows are channels of taps, inner elements are pixels of the
// result. What the rows of a tile meet at the first pixel lies in shared memory: y, x, and in place of
// the image the channel.
struct GatheredTaps : Gathered<false> {
  const tmk_convolution &c;
  const Layer &layer;
  const Pixel *taps;
  int64_t k;

  TM_FN GatheredTaps(const tmk_convolution &c, const Layer &layer, Pixel *taps, int64_t group,
                     int64_t first, int64_t k)
      : c(c), layer(layer), taps(taps), k(k) {
    if (threadIdx.x < kFloatTile) {
      const int64_t row = first + threadIdx.x, tap = quotient(row, layer.inputs);
      const int64_t ky = quotient(tap, c.kernel[1]), kx = tap - ky * c.kernel[1];
      taps[threadIdx.x] = {group * layer.inputs + row - tap * layer.inputs,
                           tap < layer.taps ? ky * c.dilation[0] - c.padding[0] : kNowhere,
                           kx * c.dilation[1] - c.padding[1]};
    }
    __syncthreads();
  }

  TM_FN void start(int, FloatSide &) {
    const Pixel tap = taps[own_outer(0)];
    Pixel pixel = pixel_of(k + own_inner(0), c.batch, layer.height, layer.width);
    there = 0;
#pragma unroll
    for (int i = 0; i < kFetched; i++, advance(pixel, kFloatThreads / kFloatTile, layer)) {
      if (pixel.y < 0 || pixel.image >= c.batch) continue;
      const int64_t down = pixel.y * c.stride[0] + tap.y, across = pixel.x * c.stride[1] + tap.x;
      if (down < 0 || down >= c.height || across < 0 || across >= c.width) continue;
      const int64_t at = ((pixel.image * c.height + down) * c.width + across) * c.channels;
      fetched[i] = c.image[at + tap.image];
      there |= 1u << i;
    }
    k += kFloatInner;
  }
};

// The right side of the input gradient: columns are channels, inner elements are filters of taps, the
// last tap first.
struct TurnedWeights : Scattered<true> {
  static constexpr bool kGaps = false;
  const tmk_convolution &c;
  const Layer &layer;
  int64_t group, first, k;

  TM_FN TurnedWeights(const tmk_convolution &c, const Layer &layer, int64_t group, int64_t first,
                      int64_t k)
      : c(c), layer(layer), group(group), first(first), k(k) {}

  TM_FN void start(int, FloatSide &) {
    const int64_t n = k + own_inner(0), turned = quotient(n, layer.outputs);
    const int64_t filter = group * layer.outputs + n - turned * layer.outputs;
    const int64_t row = (layer.taps - 1 - turned) * layer.inputs;
#pragma unroll
    for (int i = 0; i < kFetched; i++) {
      const int64_t inside = first + own_outer(i);
      const bool there = turned < layer.taps && inside < layer.inputs;
      fetched[i] = there ? c.weights[(row + inside) * c.filters + filter] : 0.0f;
    }
    k += kFloatInner;
  }
};

}  // namespace
}  // namespace tmk

#endif
