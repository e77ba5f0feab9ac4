// Pooling and its gradients, a thread to each number of a result: csrc/training/pooling.h is the
// definition.
#include "cuda/device.h"
#include "math/order.h"
#include "shapes/windows.h"

namespace {

constexpr int kThreads = 256;

// A number of an image or of a result, whose width and height these are.
struct Number {
  int64_t at, b, y, x, channel;

  TM_FN Number(const tmk_pooling &c, int64_t height, int64_t width)
      : at(int64_t{blockIdx.x} * kThreads + threadIdx.x) {
    const int64_t pixel = at / c.channels, row = pixel / width;
    channel = at % c.channels;
    x = pixel % width;
    y = row % height;
    b = row / height;
  }
};

// function(number of the image, tap) for the pixels of a window, row by row.
template <typename Function>
TM_FN void each_of_window(const Windows &w, const Number &n, Function function) {
  const tmk_pooling &c = w.c;
  int64_t top, bottom, left, right;
  w.taps(0, n.y, c.height, &top, &bottom);
  w.taps(1, n.x, c.width, &left, &right);
  for (int64_t ky = top; ky < bottom; ky++)
    for (int64_t kx = left; kx < right; kx++)
      function(w.image(n.b, n.y * c.stride[0] - c.padding[0] + ky,
                       n.x * c.stride[1] - c.padding[1] + kx) + n.channel,
               static_cast<int32_t>(ky * c.window[1] + kx));
}

// function(number of the result, tap) for the windows that have a pixel, row by row.
template <typename Function>
TM_FN void each_window(const Windows &w, const Number &n, Function function) {
  const tmk_pooling &c = w.c;
  int64_t top, bottom, left, right;
  w.having(0, n.y, w.height, &top, &bottom);
  w.having(1, n.x, w.width, &left, &right);
  for (int64_t oy = top; oy < bottom; oy++)
    for (int64_t ox = left; ox < right; ox++) {
      const int64_t ky = n.y + c.padding[0] - oy * c.stride[0];
      const int64_t kx = n.x + c.padding[1] - ox * c.stride[1];
      function(w.result(n.b, oy, ox) + n.channel, static_cast<int32_t>(ky * c.window[1] + kx));
    }
}

TM_FN float share_of(const tmk_pooling &c) {
  return 1.0f / static_cast<float>(c.window[0] * c.window[1]);
}

}  // namespace

TM_KERNEL(max_pool, kThreads, tmk_pooling) {
  const Windows w(call);
  const Number n(call, w.height, w.width);
  if (n.b >= call.batch) return;
  int32_t best = -0x7fffffff - 1, best_tap = 0;  // below every key
  float value = 0.0f;
  each_of_window(w, n, [&](int64_t at, int32_t tap) {
    const float x = call.image[at];
    const int32_t key = tmk::order_key(x);
    if (key <= best) return;
    best = key;
    best_tap = tap;
    value = x;
  });
  call.result[n.at] = tmk::canonical(value);
  call.taps[n.at] = best_tap;
}

TM_KERNEL(max_pool_input, kThreads, tmk_pooling) {
  const Windows w(call);
  const Number n(call, call.height, call.width);
  if (n.b >= call.batch) return;
  float sum = 0.0f;
  each_window(w, n, [&](int64_t at, int32_t tap) {
    if (call.taps[at] == tap) sum = sum + call.result[at];
  });
  call.image[n.at] = tmk::canonical(sum);
}

TM_KERNEL(average_pool, kThreads, tmk_pooling) {
  const Windows w(call);
  const Number n(call, w.height, w.width);
  if (n.b >= call.batch) return;
  float sum = 0.0f;
  each_of_window(w, n, [&](int64_t at, int32_t) { sum = sum + call.image[at]; });
  call.result[n.at] = tmk::canonical(sum * share_of(call));
}

TM_KERNEL(average_pool_input, kThreads, tmk_pooling) {
  const Windows w(call);
  const Number n(call, call.height, call.width);
  if (n.b >= call.batch) return;
  float sum = 0.0f;
  each_window(w, n, [&](int64_t at, int32_t) { sum = sum + call.result[at]; });
  call.image[n.at] = tmk::canonical(sum * share_of(call));
}
