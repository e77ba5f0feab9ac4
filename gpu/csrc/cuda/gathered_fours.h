// The same operands where channels and filters come in aligned fours, which share a pixel and a tap: a
// quarter of the places to find. A thread keeps its places and steps on; nothing is divided on the way.
// No size is over 2^24, so that 32 bits hold places and registers do for two blocks.
#ifndef TM_CUDA_GATHERED_FOURS_H
#define TM_CUDA_GATHERED_FOURS_H

#include "fours.h"
#include "gathered.h"

namespace tmk {
namespace {

constexpr int kLost = -(1 << 29);  // kNowhere in 32 bits

// Where a thread is among the inner elements of taps: `deep` of them to a tap.
struct TapWalk {
  int inside, ky, kx;

  TM_FN TapWalk(const tmk_convolution &c, int64_t k, int64_t deep) {
    const int64_t turned = quotient(k, deep), down = quotient(turned, c.kernel[1]);
    inside = static_cast<int>(k - turned * deep);
    ky = static_cast<int>(down);
    kx = static_cast<int>(turned - down * c.kernel[1]);
  }

  TM_FN bool there(const tmk_convolution &c) const { return ky < c.kernel[0]; }

  TM_FN void advance(const tmk_convolution &c, int deep) {
    for (inside += kFloatInner; inside >= deep; inside -= deep) {
      if (++kx < c.kernel[1]) continue;
      kx = 0;
      ky++;
    }
  }
};

// A four with its final form: what is absent is marked, numbers are canonical.
TM_FN Four marked(bool there, const Four &four) {
  Four made;
#pragma unroll
  for (int e = 0; e < 4; e++) made.at[e] = there ? canonical(four.at[e]) : absent();
  return made;
}

// See GatheredPixels.
template <bool kBack>
struct FoursPixels {
  static constexpr bool kGaps = true;
  const tmk_convolving &call;
  const tmk_convolution &c;
  TapWalk walk;
  int channel;  // the group's first
  int image[2], y[2], x[2];
  bool there[2];
  Four fetched[2];

  TM_FN FoursPixels(const tmk_convolving &call, int64_t group, int64_t first, int64_t k)
      : call(call), c(call.convolution), walk(c, k + threadIdx.x % kInnerFours * 4, deep()),
        channel(static_cast<int>(group) * deep()) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int64_t number = first + threadIdx.x / kInnerFours + i * kFourRows;
      const Pixel pixel = kBack ? pixel_of(number, c.batch, c.height, c.width)
                                : pixel_of(number, c.batch, call.height, call.width);
      y[i] = place_of(0, pixel.y);
      x[i] = place_of(1, pixel.x);
      image[i] = static_cast<int>(pixel.image);
    }
  }

  // What is read: its sizes, and how much of a pixel a tap takes.
  TM_FN int height() const { return kBack ? call.height : static_cast<int>(c.height); }
  TM_FN int width() const { return kBack ? call.width : static_cast<int>(c.width); }
  TM_FN int64_t all() const { return kBack ? c.filters : c.channels; }
  TM_FN int deep() const { return kBack ? call.outputs : call.inputs; }
  // The last tap comes first on the way back.
  TM_FN int tap(int axis, int walked) const {
    return kBack ? static_cast<int>(c.kernel[axis]) - 1 - walked : walked;
  }
  TM_FN int place_of(int axis, int64_t at) const {
    if (at == kNowhere) return kLost;
    return static_cast<int>(kBack ? at + c.padding[axis] : at * c.stride[axis] - c.padding[axis]);
  }

  TM_FN void start(int, FloatSide &) {
    const int ky = tap(0, walk.ky), kx = tap(1, walk.kx);
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int down = met<kBack>(c, 0, y[i], ky), across = met<kBack>(c, 1, x[i], kx);
      there[i] = walk.there(c) && down >= 0 && down < height() && across >= 0 &&
                 across < width();
      const int64_t pixel = (int64_t{image[i]} * height() + down) * width() + across;
      const float *from = (kBack ? c.result : c.image) + pixel * all() + channel + walk.inside;
      if (there[i]) fetched[i] = *reinterpret_cast<const Four *>(from);
    }
    walk.advance(c, deep());
  }
  TM_FN void finish(FloatSide &side) const {
    const Four fours[2] = {marked(there[0], fetched[0]), marked(there[1], fetched[1])};
    keep_turned(fours, side);
  }
};

// See GatheredTaps.
struct FoursTaps {
  static constexpr bool kGaps = true;
  const tmk_convolving &call;
  const tmk_convolution &c;
  int channel;       // this thread's first
  int down, across;  // what its tap adds
  int image[2], y[2], x[2];
  bool there[2];
  Four fetched[2];

  TM_FN FoursTaps(const tmk_convolving &call, int64_t group, int64_t first, int64_t k)
      : call(call), c(call.convolution) {
    const int64_t row = first + threadIdx.x % kOuterFours * 4, tap = quotient(row, call.inputs);
    const int64_t ky = quotient(tap, c.kernel[1]), kx = tap - ky * c.kernel[1];
    down = ky < c.kernel[0] ? static_cast<int>(ky * c.dilation[0] - c.padding[0]) : kLost;
    across = static_cast<int>(kx * c.dilation[1] - c.padding[1]);
    channel = static_cast<int>(group * call.inputs + row - tap * call.inputs);
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const Pixel pixel = pixel_of(k + threadIdx.x / kOuterFours + i * kFourSteps, c.batch,
                                   call.height, call.width);
      y[i] = pixel.y == kNowhere ? -1 : static_cast<int>(pixel.y);
      x[i] = pixel.y == kNowhere ? 0 : static_cast<int>(pixel.x);
      image[i] = static_cast<int>(pixel.image);
    }
  }
  TM_FN void start(int, FloatSide &) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int at_y = y[i] * static_cast<int>(c.stride[0]) + down;
      const int at_x = x[i] * static_cast<int>(c.stride[1]) + across;
      there[i] = y[i] >= 0 && image[i] < c.batch && at_y >= 0 && at_y < c.height && at_x >= 0 &&
                 at_x < c.width;
      const int64_t pixel = (image[i] * c.height + at_y) * c.width + at_x;
      const float *from = c.image + pixel * c.channels + channel;
      if (there[i]) fetched[i] = *reinterpret_cast<const Four *>(from);
      advance(i);
    }
  }
  TM_FN void advance(int i) {
    for (x[i] += kFloatInner; x[i] >= call.width; x[i] -= call.width) {
      if (++y[i] < call.height) continue;
      y[i] = 0;
      image[i]++;
    }
  }
  TM_FN void finish(FloatSide &side) const {
#pragma unroll
    for (int i = 0; i < 2; i++)
      *reinterpret_cast<Four *>(
          &side.at[threadIdx.x / kOuterFours + i * kFourSteps][threadIdx.x % kOuterFours * 4]) =
          marked(there[i], fetched[i]);
  }
};

// See TurnedWeights. Beyond the last channel it is read again.
struct FoursTurned {
  static constexpr bool kGaps = false;
  const tmk_convolving &call;
  const tmk_convolution &c;
  int inside, tap;   // among the filters of a tap, the last one first
  const float *row;  // of that tap
  int further;       // rows from this thread's first to its other one
  Four fetched[2];

  TM_FN FoursTurned(const tmk_convolving &call, int64_t group, int64_t first, int64_t k)
      : call(call), c(call.convolution) {
    const int64_t own = k + threadIdx.x % kInnerFours * 4, turned = quotient(own, call.outputs);
    inside = static_cast<int>(own - turned * call.outputs);
    tap = static_cast<int>(c.kernel[0] * c.kernel[1] - 1 - turned);
    const int64_t last = call.inputs - 1, channel = first + threadIdx.x / kInnerFours;
    row = c.weights + group * call.outputs +
          (int64_t{tap} * call.inputs + smaller_of(channel, last)) * c.filters;
    further = static_cast<int>(smaller_of(channel + kFourRows, last) - smaller_of(channel, last));
  }
  TM_FN void start(int, FloatSide &) {
    const float *from = row + inside, *other = from + further * c.filters;
    fetched[0] = tap >= 0 ? *reinterpret_cast<const Four *>(from) : Four{};
    fetched[1] = tap >= 0 ? *reinterpret_cast<const Four *>(other) : Four{};
    for (inside += kFloatInner; inside >= call.outputs; inside -= call.outputs) {
      tap--;
      row -= call.inputs * c.filters;
    }
  }
  TM_FN void finish(FloatSide &side) const { keep_turned(fetched, side); }
};

}  // namespace
}  // namespace tmk

#endif
