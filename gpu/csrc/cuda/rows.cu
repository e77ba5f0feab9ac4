// Operations on rows, a block to each: reference/rows.cpp is the definition.
#include "cuda/l128.h"
#include "math/activations.h"

using tmk::kRowThreads;
using tmk::kRowWarps;

TM_KERNEL(softmax, kRowThreads, tmk_rows) {
  __shared__ float warps[kRowWarps];
  float *out = call.out + int64_t{blockIdx.x} * call.width;
  tmk::KeptRow row(call.in + int64_t{blockIdx.x} * call.width, call.width);
  float most = -tmk::infinity<float>();
  row.each([&](int64_t, float x) { most = tmk::larger(x, most); });
  most = tmk::block_largest(most, warps);
  const float sum = row.sum(warps, [&](float lane, float &x) {
    x = tmk::exp(x - most);
    return lane + x;
  });
  const float factor = 1.0f / sum;
  row.each([&](int64_t i, float x) {
    const float power = row.fits ? x : tmk::exp(x - most);
    out[i] = tmk::canonical(power * factor);
  });
}

TM_KERNEL(rmsnorm, kRowThreads, tmk_rows) {
  __shared__ float warps[kRowWarps];
  float *out = call.out + int64_t{blockIdx.x} * call.width;
  tmk::KeptRow row(call.in + int64_t{blockIdx.x} * call.width, call.width);
  const float squares = row.sum(warps, [](float lane, float x) { return tmk::fma(x, x, lane); });
  const float mean = squares / static_cast<float>(call.width);
  const float factor = tmk::reciprocal_root(mean + call.epsilon);
  row.each([&](int64_t i, float x) {
    const float scaled = x * factor;
    out[i] = tmk::canonical(call.weight ? scaled * call.weight[i] : scaled);
  });
}

TM_KERNEL(layernorm, kRowThreads, tmk_rows) {
  __shared__ float warps[kRowWarps];
  float *out = call.out + int64_t{blockIdx.x} * call.width;
  tmk::KeptRow row(call.in + int64_t{blockIdx.x} * call.width, call.width);
  const float size = static_cast<float>(call.width);
  const float mean = row.sum(warps, [](float lane, float x) { return lane + x; }) / size;
  const float squares = row.sum(warps, [&](float lane, float x) {
    const float distance = x - mean;
    return tmk::fma(distance, distance, lane);
  });
  const float factor = tmk::reciprocal_root(squares / size + call.epsilon);
  row.each([&](int64_t i, float x) {
    const float scaled = (x - mean) * factor;
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
