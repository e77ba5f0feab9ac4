// Operations on rows, a block to each: reference/rows.cpp is the definition.
#include "cuda/l128.h"
#include "math/activations.h"

using tmk::kRowThreads;
using tmk::kRowWarps;

TM_KERNEL(softmax, kRowThreads, tmk_rows) {
  __shared__ float warps[kRowWarps];
  const float *in = call.in + int64_t{blockIdx.x} * call.width;
  float *out = call.out + int64_t{blockIdx.x} * call.width;
  float most = -tmk::infinity<float>();
  tmk::each_of_row(call.width, [&](int64_t i) { most = tmk::larger(in[i], most); });
  most = tmk::block_largest(most, warps);
  const float sum = tmk::row_sum(call.width, warps, [&](float lane, int64_t i) {
    const float power = tmk::exp(in[i] - most);
    out[i] = power;
    return lane + power;
  });
  const float factor = 1.0f / sum;
  tmk::each_of_row(call.width, [&](int64_t i) { out[i] = tmk::canonical(out[i] * factor); });
}

TM_KERNEL(rmsnorm, kRowThreads, tmk_rows) {
  __shared__ float warps[kRowWarps];
  const float *in = call.in + int64_t{blockIdx.x} * call.width;
  float *out = call.out + int64_t{blockIdx.x} * call.width;
  const float squares = tmk::row_sum(
      call.width, warps, [&](float lane, int64_t i) { return tmk::fma(in[i], in[i], lane); });
  const float mean = squares / static_cast<float>(call.width);
  const float factor = tmk::reciprocal_root(mean + call.epsilon);
  tmk::each_of_row(call.width, [&](int64_t i) {
    const float scaled = in[i] * factor;
    out[i] = tmk::canonical(call.weight ? scaled * call.weight[i] : scaled);
  });
}

TM_KERNEL(layernorm, kRowThreads, tmk_rows) {
  __shared__ float warps[kRowWarps];
  const float *in = call.in + int64_t{blockIdx.x} * call.width;
  float *out = call.out + int64_t{blockIdx.x} * call.width;
  const float size = static_cast<float>(call.width);
  const float mean =
      tmk::row_sum(call.width, warps, [&](float lane, int64_t i) { return lane + in[i]; }) / size;
  const float squares = tmk::row_sum(call.width, warps, [&](float lane, int64_t i) {
    const float distance = in[i] - mean;
    return tmk::fma(distance, distance, lane);
  });
  const float factor = tmk::reciprocal_root(squares / size + call.epsilon);
  tmk::each_of_row(call.width, [&](int64_t i) {
    const float scaled = (in[i] - mean) * factor;
    const float weight = call.weight ? call.weight[i] : 1.0f, bias = call.bias ? call.bias[i] : 0.0f;
    out[i] = tmk::canonical(tmk::fma(scaled, weight, bias));
  });
}

TM_KERNEL(row_sums, kRowThreads, tmk_rows) {
  __shared__ float warps[kRowWarps];
  const float *in = call.in + int64_t{blockIdx.x} * call.width;
  const float sum =
      tmk::row_sum(call.width, warps, [&](float lane, int64_t i) { return lane + in[i]; });
  if (threadIdx.x == 0) call.out[blockIdx.x] = tmk::canonical(sum);
}
