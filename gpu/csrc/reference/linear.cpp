// Products with weights kept as float, bfloat16 or eight-bit integers with scales. Float and
// bfloat16 are C256. Eight bits (W8A8): per group of inner elements an exact integer sum, then one
// fma with the product of both scales, groups in ascending order from +0.
#include "../checks.h"
#include "../host/parallel.h"
#include "../host/workspace.h"
#include "../math/narrow.h"
#include "../math/quantize.h"

namespace {

constexpr int64_t kChunk = 256;

int64_t groups_of(int64_t inner, int64_t group) { return (inner + group - 1) / group; }

// Where the parts of packed weights lie: numbers as inner x columns, then scales groups x columns.
struct Packed {
  char *numbers;
  float *scales;
  uint64_t size;
  Packed(const void *start, int64_t inner, int64_t columns, int32_t kind, int32_t group) {
    const int64_t width = kind == TMK_F32 ? 4 : kind == TMK_BF16 ? 2 : 1;
    const int64_t scales_at = rounded_up(inner * columns * width, 64);
    numbers = static_cast<char *>(const_cast<void *>(start));
    scales = reinterpret_cast<float *>(numbers + scales_at);
    size = scales_at + (kind == TMK_I8 ? groups_of(inner, group) * columns * sizeof(float) : 0);
  }
};

tmk::Scale group_scale(const float *values, int64_t step, int64_t count) {
  float largest = 0.0f;
  bool finite = true;
  for (int64_t k = 0; k < count; k++) {
    const float size = tmk::magnitude(values[k * step]);
    largest = tmk::larger(size, largest);
    finite = finite && size < tmk::infinity<float>();
  }
  return tmk::scale_of(largest, finite);
}

int8_t quantized(float x, tmk::Scale scale) {
  return static_cast<int8_t>(tmk::quantized(x, scale.factor));
}

void pack_group(const tmk_packing &c, const Packed &packed, int64_t first, int64_t j) {
  const float *weights = c.weights + first * c.weights_row + j * c.weights_column;
  const int64_t count = least(c.group, c.inner - first);
  const tmk::Scale scale = group_scale(weights, c.weights_row, count);
  packed.scales[first / c.group * c.columns + j] = scale.back;
  for (int64_t k = 0; k < count; k++)
    packed.numbers[(first + k) * c.columns + j] = quantized(weights[k * c.weights_row], scale);
}

float weight(const tmk_linear &c, int64_t k, int64_t j) {
  const int64_t place = k * c.columns + j;
  if (c.kind == TMK_F32) return static_cast<const float *>(c.packed)[place];
  return tmk::from_bfloat16(static_cast<const uint16_t *>(c.packed)[place]);
}

float entry(const tmk_linear &c, const float *left, int64_t j) {
  float total = 0.0f;
  for (int64_t first = 0; first < c.inner; first += kChunk) {
    float sum = 0.0f;
    for (int64_t k = first; k < c.inner && k < first + kChunk; k++)
      sum = tmk::fma(left[k], weight(c, k, j), sum);
    total = total + sum;
  }
  return total;
}

float entry_of_integers(const tmk_linear &c, const Packed &packed, const float *left, int64_t j) {
  float total = 0.0f;
  for (int64_t first = 0; first < c.inner; first += c.group) {
    const int64_t count = least(c.group, c.inner - first);
    const tmk::Scale scale = group_scale(left + first, 1, count);
    int32_t sum = 0;
    for (int64_t k = 0; k < count; k++)
      sum += quantized(left[first + k], scale) *
             static_cast<int8_t>(packed.numbers[(first + k) * c.columns + j]);
    const float both = scale.back * packed.scales[first / c.group * c.columns + j];
    total = tmk::fma(static_cast<float>(sum), both, total);
  }
  return total;
}

}  // namespace

uint64_t tmk_baseline_packed_size(const tmk_packing *call) {
  return Packed(nullptr, call->inner, call->columns, call->kind, call->group).size;
}

int tmk_baseline_pack(const tmk_packing *call) {
  const tmk_packing &c = *call;
  if (!valid(c)) return TMK_BAD_ARGUMENT;
  const FloatState state;
  const Packed packed(c.packed, c.inner, c.columns, c.kind, c.group);
  for (int64_t j = 0; j < c.columns; j++)
    for (int64_t k = 0; k < c.inner; k += c.kind == TMK_I8 ? c.group : 1) {
      const float x = c.weights[k * c.weights_row + j * c.weights_column];
      if (c.kind == TMK_F32)
        reinterpret_cast<float *>(packed.numbers)[k * c.columns + j] = x;
      else if (c.kind == TMK_BF16)
        reinterpret_cast<uint16_t *>(packed.numbers)[k * c.columns + j] = tmk::to_bfloat16(x);
      else
        pack_group(c, packed, k, j);
    }
  return TMK_OK;
}

uint64_t tmk_baseline_linear_workspace(const tmk_linear *) { return 0; }

int tmk_baseline_linear(const tmk_linear *call) {
  const tmk_linear &c = *call;
  if (!valid(c)) return TMK_BAD_ARGUMENT;
  const FloatState state;
  const Packed packed(c.packed, c.inner, c.columns, c.kind, c.group);
  parallel(c.pool, c.rows, [&](int64_t i, int) {
    const float *left = c.left + i * c.left_row;
    for (int64_t j = 0; j < c.columns; j++)
      c.out[i * c.out_row + j] =
          tmk::canonical(c.kind == TMK_I8 ? entry_of_integers(c, packed, left, j)
                                         : entry(c, left, j));
  });
  return TMK_OK;
}
