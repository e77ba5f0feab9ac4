// Pooling over windows of images, one text for every instruction set. The largest of a window is by
// the total order of math/order.h, of equal ones the first in row-major order; gradients gather from
// the windows of a pixel in ascending order, from +0. Padding has no part.
#ifndef TM_POOLING_H
#define TM_POOLING_H

#include "../checks.h"
#include "../host/parallel.h"
#include "../host/workspace.h"
#include "../math/order.h"
#include "../shapes/windows.h"

namespace {

constexpr int64_t kPoolBlock = 64;  // channels at a time

inline bool valid(const tmk_pooling &c) {
  for (int axis = 0; axis < 2; axis++)
    if (c.window[axis] < 1 || c.window[axis] > 65536 || c.stride[axis] < 1 ||
        c.stride[axis] >= kMostElements || c.padding[axis] < 0 ||
        c.padding[axis] >= c.window[axis])
      return false;
  if (!counts(c.height, c.width) || !counts(c.batch, c.height * c.width) ||
      !counts(c.batch * c.height * c.width, c.channels) || !c.image || !c.result)
    return false;
  const Windows w(c);
  return w.height >= 1 && w.width >= 1 && counts(w.height, w.width) &&
         counts(c.batch * w.height * w.width, c.channels) &&
         c.window[0] * c.window[1] < int64_t{1} << 31;
}

// each(b, y, x, first channel, channels) for blocks of channels of every pixel.
template <typename Each>
void each_pixel(const tmk_pooling &c, int64_t height, int64_t width, Each each) {
  parallel(c.pool, c.batch * height, [&](int64_t row, int) {
    for (int64_t x = 0; x < width; x++)
      for (int64_t channel = 0; channel < c.channels; channel += kPoolBlock)
        each(row / height, row % height, x, channel, least(kPoolBlock, c.channels - channel));
  });
}

inline void largest_of_window(const Windows &w, int64_t b, int64_t y, int64_t x, int64_t channel,
                              int64_t count) {
  const tmk_pooling &c = w.c;
  int32_t best[kPoolBlock], tap[kPoolBlock];
  float value[kPoolBlock];
  for (int64_t j = 0; j < count; j++) {
    best[j] = INT32_MIN;  // below every key
    tap[j] = 0;
    value[j] = 0.0f;
  }
  int64_t top, bottom, left, right;
  w.taps(0, y, c.height, &top, &bottom);
  w.taps(1, x, c.width, &left, &right);
  for (int64_t ky = top; ky < bottom; ky++)
    for (int64_t kx = left; kx < right; kx++) {
      const float *in = c.image + channel +
                        w.image(b, y * c.stride[0] - c.padding[0] + ky,
                                x * c.stride[1] - c.padding[1] + kx);
      const int32_t number = static_cast<int32_t>(ky * c.window[1] + kx);
      for (int64_t j = 0; j < count; j++) {
        const int32_t key = tmk::order_key(in[j]);
        const bool larger = key > best[j];
        best[j] = larger ? key : best[j];
        tap[j] = larger ? number : tap[j];
        value[j] = larger ? in[j] : value[j];
      }
    }
  const int64_t place = w.result(b, y, x) + channel;
  for (int64_t j = 0; j < count; j++) c.result[place + j] = tmk::canonical(value[j]);
  for (int64_t j = 0; j < count; j++) c.taps[place + j] = tap[j];
}

// out[j] = the sum over the windows of a pixel, `part` adding one window's.
template <typename Part>
void gather_windows(const Windows &w, int64_t b, int64_t y, int64_t x, int64_t channel,
                    int64_t count, float *sums, Part part) {
  const tmk_pooling &c = w.c;
  for (int64_t j = 0; j < count; j++) sums[j] = 0.0f;
  int64_t top, bottom, left, right;
  w.having(0, y, w.height, &top, &bottom);
  w.having(1, x, w.width, &left, &right);
  for (int64_t oy = top; oy < bottom; oy++)
    for (int64_t ox = left; ox < right; ox++) {
      const int64_t ky = y + c.padding[0] - oy * c.stride[0];
      const int64_t kx = x + c.padding[1] - ox * c.stride[1];
      part(w.result(b, oy, ox) + channel, static_cast<int32_t>(ky * c.window[1] + kx));
    }
}

}  // namespace

int TMK_ENTRY(max_pool)(const tmk_pooling *call) {
  const tmk_pooling &c = *call;
  if (!valid(c) || !c.taps) return TMK_BAD_ARGUMENT;
  const FloatState state;
  const Windows w(c);
  each_pixel(c, w.height, w.width, [&](int64_t b, int64_t y, int64_t x, int64_t j, int64_t n) {
    largest_of_window(w, b, y, x, j, n);
  });
  return TMK_OK;
}

int TMK_ENTRY(max_pool_input)(const tmk_pooling *call) {
  const tmk_pooling &c = *call;
  if (!valid(c) || !c.taps) return TMK_BAD_ARGUMENT;
  const FloatState state;
  const Windows w(c);
  each_pixel(c, c.height, c.width, [&](int64_t b, int64_t y, int64_t x, int64_t j, int64_t n) {
    float sums[kPoolBlock];
    gather_windows(w, b, y, x, j, n, sums, [&](int64_t place, int32_t tap) {
      for (int64_t i = 0; i < n; i++)
        sums[i] = c.taps[place + i] == tap ? sums[i] + c.result[place + i] : sums[i];
    });
    float *out = c.image + w.image(b, y, x) + j;
    for (int64_t i = 0; i < n; i++) out[i] = tmk::canonical(sums[i]);
  });
  return TMK_OK;
}

int TMK_ENTRY(average_pool)(const tmk_pooling *call) {
  const tmk_pooling &c = *call;
  if (!valid(c)) return TMK_BAD_ARGUMENT;
  const FloatState state;
  const Windows w(c);
  const float factor = 1.0f / static_cast<float>(c.window[0] * c.window[1]);
  each_pixel(c, w.height, w.width, [&](int64_t b, int64_t y, int64_t x, int64_t j, int64_t n) {
    float sums[kPoolBlock] = {};
    int64_t top, bottom, left, right;
    w.taps(0, y, c.height, &top, &bottom);
    w.taps(1, x, c.width, &left, &right);
    for (int64_t ky = top; ky < bottom; ky++)
      for (int64_t kx = left; kx < right; kx++) {
        const float *in = c.image + j +
                          w.image(b, y * c.stride[0] - c.padding[0] + ky,
                                  x * c.stride[1] - c.padding[1] + kx);
        for (int64_t i = 0; i < n; i++) sums[i] = sums[i] + in[i];
      }
    float *out = c.result + w.result(b, y, x) + j;
    for (int64_t i = 0; i < n; i++) out[i] = tmk::canonical(sums[i] * factor);
  });
  return TMK_OK;
}

int TMK_ENTRY(average_pool_input)(const tmk_pooling *call) {
  const tmk_pooling &c = *call;
  if (!valid(c)) return TMK_BAD_ARGUMENT;
  const FloatState state;
  const Windows w(c);
  const float factor = 1.0f / static_cast<float>(c.window[0] * c.window[1]);
  each_pixel(c, c.height, c.width, [&](int64_t b, int64_t y, int64_t x, int64_t j, int64_t n) {
    float sums[kPoolBlock];
    gather_windows(w, b, y, x, j, n, sums, [&](int64_t place, int32_t) {
      for (int64_t i = 0; i < n; i++) sums[i] = sums[i] + c.result[place + i];
    });
    float *out = c.image + w.image(b, y, x) + j;
    for (int64_t i = 0; i < n; i++) out[i] = tmk::canonical(sums[i] * factor);
  });
  return TMK_OK;
}

#endif
