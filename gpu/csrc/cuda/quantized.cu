// Products of eight-bit numbers with a scale per row and group (W8A8): reference/linear.cpp is the
// definition. Either side is quantized first; then integer sums of a group become floats, groups in
// ascending order.
#include "cuda/integer_tile.h"
#include "math/quantize.h"

namespace {

constexpr int kThreads = 256, kWarps = kThreads / tmk::kWarp;

// A warp to each group of a row.
TM_FN tmk::Scale group_scale(const float *values, int64_t step, int64_t count) {
  float largest = 0.0f;
  int odd = 0;
  for (int64_t k = threadIdx.x % tmk::kWarp; k < count; k += tmk::kWarp) {
    const float size = tmk::magnitude(values[k * step]);
    largest = tmk::larger(size, largest);
    odd |= !(size < tmk::infinity<float>());
  }
#pragma unroll
  for (int distance = 1; distance < tmk::kWarp; distance *= 2) {
    largest = tmk::larger(tmk::exchanged(largest, distance), largest);
    odd |= tmk::exchanged(odd, distance);
  }
  return tmk::scale_of(largest, odd == 0);
}

}  // namespace

TM_KERNEL(quantize, kThreads, tmk_quantization) {
  const int64_t groups = tmk::divided_up(call.inner, call.group);
  const int64_t number = int64_t{blockIdx.x} * kWarps + threadIdx.x / tmk::kWarp;
  const int64_t outer = number / groups, g = number % groups, first = g * call.group;
  if (outer >= call.outer) return;  // the whole warp
  const int64_t count = tmk::smaller_of(call.group, call.inner - first);
  const float *in = call.in + outer * call.outer_step + first * call.inner_step;
  const tmk::Scale scale = group_scale(in, call.inner_step, count);
  const int lane = threadIdx.x % tmk::kWarp;
  if (lane == 0) call.scales[outer * call.scale_row + g * call.scale_group] = scale.back;
  const int64_t end = g == groups - 1 ? call.padded - first : count;
  int8_t *out = call.out + outer * call.padded + first;
  for (int64_t k = lane; k < end; k += tmk::kWarp)
    out[k] = k < count ? static_cast<int8_t>(tmk::quantized(in[k * call.inner_step], scale.factor))
                       : int8_t{0};
}

namespace {

// The scales that a lane's entries of a group need.
struct Scales {
  float left[tmk::kDown * 2], right[tmk::kAcross * 2];

  TM_FN Scales(const tmk_scaled_tiles &call, const tmk::IntegerTile &tile, int64_t g) {
    const int lane = threadIdx.x % tmk::kWarp;
#pragma unroll
    for (int i = 0; i < tmk::kDown * 2; i++) {
      const int64_t row = tile.first_row + tile.warp_row + i * 8 + lane / 4;
      left[i] = call.left_scales[tmk::smaller_of(row, call.rows - 1) * call.groups + g];
    }
#pragma unroll
    for (int j = 0; j < tmk::kAcross * 2; j++) {
      const int64_t column = tile.first_column + tile.warp_column + j / 2 * 8 + lane % 4 * 2 + j % 2;
      right[j] = call.right_scales[g * call.columns + tmk::smaller_of(column, call.columns - 1)];
    }
  }
};

struct Totals {
  float at[tmk::kDown][tmk::kAcross][4];

  TM_FN void add(const tmk::IntegerTile &tile, const Scales &scales) {
#pragma unroll
    for (int i = 0; i < tmk::kDown; i++)
#pragma unroll
      for (int j = 0; j < tmk::kAcross; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
          const float both = scales.left[i * 2 + e / 2] * scales.right[j * 2 + e % 2];
          at[i][j][e] = tmk::fma(static_cast<float>(tile.sum[i][j][e]), both, at[i][j][e]);
        }
  }
};

}  // namespace

TM_KERNEL(linear_i8_many, tmk::kTileThreads, tmk_scaled_tiles) {
  __shared__ tmk::IntegerStage stages[tmk::kStages];
  tmk::IntegerTile tile;
  Totals totals = {};
  tmk::multiply_all(tile, stages, call, [&](int64_t k) {
    const bool more = k - tmk::kStep < call.inner;
    if (!more || (k % call.group != 0 && k < call.inner)) return;
    totals.add(tile, Scales(call, tile, (k - 1) / call.group));
    tile.clear();
  });
  tile.each_entry(call.rows, call.columns, [&](int64_t row, int64_t column, int i, int j, int e) {
    call.out[row * call.out_row + column] = tmk::canonical(totals.at[i][j][e]);
  });
}
