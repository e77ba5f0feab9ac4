// The gradients of attention beside their products: csrc/training/attention.h is the definition. One
// head at a time, products by floats.cu between these.
#include "cuda/calls.h"
#include "cuda/l128.h"
#include "math/exponential.h"

namespace {

constexpr int kThreads = 256;

TM_FN int64_t thread_number() { return int64_t{blockIdx.x} * kThreads + threadIdx.x; }

}  // namespace

// A thread to each number; `out` may be `in`.
TM_KERNEL(scale_matrix, kThreads, tmk_scaled_matrix) {
  const int64_t row = thread_number() / call.columns, column = thread_number() % call.columns;
  if (row < call.rows)
    call.out[row * call.out_row + column] =
        tmk::canonical(call.in[row * call.in_row + column] * call.factor);
}

TM_KERNEL(add_matrix, kThreads, tmk_scaled_matrix) {
  const int64_t row = thread_number() / call.columns, column = thread_number() % call.columns;
  float *sum = call.out + row * call.out_row + column;
  if (row < call.rows) *sum = tmk::canonical(*sum + call.in[row * call.in_row + column]);
}

// Scores become powers, and slopes of powers those of scores. A block to each row.
TM_KERNEL(score_gradient, tmk::kRowThreads, tmk_head_gradient) {
  __shared__ float warps[tmk::kRowWarps];
  const tmk_attention_gradient &c = call.attention;
  const int64_t row = blockIdx.x, place = row * c.heads + call.head;
  const float *o = c.out + place * c.size, *g = c.gradient + place * c.size;
  const float level = tmk::row_sum(
      c.size, warps, [&](float lane, int64_t i) { return tmk::fma(g[i], o[i], lane); });
  const float most = c.statistics[2 * place], factor = 1.0f / c.statistics[2 * place + 1];
  const int64_t seen = c.causal ? tmk::smaller_of(c.first + row + 1, c.key_count) : c.key_count;
  float *power = call.powers + row * c.key_count, *slope = call.slopes + row * c.key_count;
  tmk::each_of_row(c.key_count, [&](int64_t i) {
    power[i] = i < seen ? tmk::canonical(tmk::exp(power[i] - most) * factor) : 0.0f;
    slope[i] = tmk::canonical(power[i] * (slope[i] - level));
  });
}
