// Gradients of operations on elements and on rows, and the loss they start from: csrc/training/rows.h
// is the definition. A block to each row.
#include "cuda/calls.h"
#include "cuda/l128.h"
#include "math/gradients.h"

using tmk::kRowThreads;
using tmk::kRowWarps;

#define TM_GRADIENT(name)                                                             \
  TM_KERNEL(gradient_##name, tmk::kElementThreads, tmk_elements) {                    \
    tmk::each_element<tmk::kElementThreads, tmk::kElementsEach>(                      \
        call.count, [&](int64_t i) { return Two{call.left[i], call.right[i]}; },      \
        [&](int64_t i, Two x) {                                                       \
          call.out[i] = tmk::canonical(tmk::name##_gradient(x.left, x.right));        \
        });                                                                           \
  }

namespace {

struct Two {
  float left, right;
};

}  // namespace

TM_GRADIENT_FUNCTIONS(TM_GRADIENT)

TM_KERNEL(softmax_gradient, kRowThreads, tmk_rows_gradient) {
  __shared__ float warps[kRowWarps];
  const int64_t first = int64_t{blockIdx.x} * call.width;
  const float *y = call.in + first, *g = call.gradient + first;
  const float sum = tmk::row_sum(
      call.width, warps, [&](float lane, int64_t i) { return tmk::fma(g[i], y[i], lane); });
  tmk::each_of_row(call.width, [&](int64_t i) {
    call.out[first + i] = tmk::canonical((g[i] - sum) * y[i]);
  });
}

namespace {

// kCentred: layernorm, else rmsnorm.
template <bool kCentred>
TM_FN void norm_gradient(const tmk_norm_gradient &call, float warps[kRowWarps]) {
  const tmk_rows_gradient &c = call.rows;
  const int64_t first = int64_t{blockIdx.x} * c.width;
  const float *x = c.in + first, *g = c.gradient + first, *weight = c.weight;
  const float size = static_cast<float>(c.width);
  float mean = 0.0f, level = 0.0f;
  if (kCentred)
    mean = tmk::row_sum(c.width, warps, [&](float lane, int64_t i) { return lane + x[i]; }) / size;
  const auto distance = [&](int64_t i) { return kCentred ? x[i] - mean : x[i]; };
  const auto weighted = [&](int64_t i) { return weight ? g[i] * weight[i] : g[i]; };
  const float squares = tmk::row_sum(c.width, warps, [&](float lane, int64_t i) {
    return tmk::fma(distance(i), distance(i), lane);
  });
  const float factor = tmk::reciprocal_root(squares / size + c.epsilon);
  if (kCentred)
    level = tmk::row_sum(c.width, warps,
                         [&](float lane, int64_t i) { return lane + weighted(i); }) / size;
  const float slope = tmk::row_sum(c.width, warps, [&](float lane, int64_t i) {
                        return tmk::fma(weighted(i), distance(i) * factor, lane);
                      }) / size;
  tmk::each_of_row(c.width, [&](int64_t i) {
    const float flat = kCentred ? weighted(i) - level : weighted(i);
    c.out[first + i] = tmk::canonical(tmk::fma(-(distance(i) * factor), slope, flat) * factor);
  });
  if (threadIdx.x != 0) return;
  call.means[blockIdx.x] = mean;
  call.factors[blockIdx.x] = factor;
}

}  // namespace

TM_KERNEL(rmsnorm_gradient, kRowThreads, tmk_norm_gradient) {
  __shared__ float warps[kRowWarps];
  norm_gradient<false>(call, warps);
}
TM_KERNEL(layernorm_gradient, kRowThreads, tmk_norm_gradient) {
  __shared__ float warps[kRowWarps];
  norm_gradient<true>(call, warps);
}

TM_KERNEL(cross_entropy, kRowThreads, tmk_cross_entropy) {
  __shared__ float warps[kRowWarps];
  const int64_t first = int64_t{blockIdx.x} * call.width;
  const float *in = call.in + first;
  const int32_t target = call.targets[blockIdx.x];
  const float scale = call.mean ? 1.0f / static_cast<float>(call.rows) : 1.0f;
  float most = -tmk::infinity<float>();
  tmk::each_of_row(call.width, [&](int64_t i) { most = tmk::larger(in[i], most); });
  most = tmk::block_largest(most, warps);
  const float sum = tmk::row_sum(call.width, warps, [&](float lane, int64_t i) {
    return lane + tmk::exp(in[i] - most);
  });
  if (threadIdx.x == 0)
    call.losses[blockIdx.x] = tmk::canonical(tmk::log(sum) - (in[target] - most));
  if (!call.gradient) return;
  const float factor = 1.0f / sum;
  tmk::each_of_row(call.width, [&](int64_t i) {
    const float share = tmk::exp(in[i] - most) * factor;
    call.gradient[first + i] = tmk::canonical((i == target ? share - 1.0f : share) * scale);
  });
}

// One block.
TM_KERNEL(sum_losses, kRowThreads, tmk_cross_entropy) {
  __shared__ float warps[kRowWarps];
  const float scale = call.mean ? 1.0f / static_cast<float>(call.rows) : 1.0f;
  const float sum = tmk::row_sum(
      call.rows, warps, [&](float lane, int64_t i) { return lane + call.losses[i]; });
  if (threadIdx.x == 0) *call.total = tmk::canonical(sum * scale);
}
