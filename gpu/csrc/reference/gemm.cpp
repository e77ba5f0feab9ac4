// Products of matrices, entry by entry: the definition of the order C256 (see docs/kernels.md).
#include "../checks.h"
#include "../host/parallel.h"

namespace {

constexpr int64_t kChunk = 256;

// +0 + c_0 + c_1 + ..., each c_i a chain of fma from +0.
float sum_of_products(const float *left, int64_t left_step, const float *right, int64_t right_step,
                      int64_t inner) {
  float total = 0.0f;
  for (int64_t first = 0; first < inner; first += kChunk) {
    float sum = 0.0f;
    for (int64_t k = first; k < inner && k < first + kChunk; k++)
      sum = tmk::fma(left[k * left_step], right[k * right_step], sum);
    total = total + sum;
  }
  return tmk::canonical(total);
}

}  // namespace

uint64_t tmk_baseline_gemm_f32_workspace(const tmk_gemm *) { return 0; }

int tmk_baseline_gemm_f32(const tmk_gemm *call) {
  const tmk_gemm &c = *call;
  if (!valid(c)) return TMK_BAD_ARGUMENT;
  const FloatState state;
  const float *left = static_cast<const float *>(c.left);
  const float *right = static_cast<const float *>(c.right);
  parallel(c.pool, c.rows, [&](int64_t i, int) {
    float *out = static_cast<float *>(c.out) + i * c.out_row;
    for (int64_t j = 0; j < c.columns; j++)
      out[j] = sum_of_products(left + i * c.left_row, c.left_column, right + j * c.right_column,
                               c.right_row, c.inner);
  });
  return TMK_OK;
}

uint64_t tmk_baseline_gemm_i8_workspace(const tmk_gemm *) { return 0; }

int tmk_baseline_gemm_i8(const tmk_gemm *call) {
  const tmk_gemm &c = *call;
  if (!valid(c) || c.inner > kMostInner) return TMK_BAD_ARGUMENT;
  const int8_t *left = static_cast<const int8_t *>(c.left);
  const int8_t *right = static_cast<const int8_t *>(c.right);
  parallel(c.pool, c.rows, [&](int64_t i, int) {
    int32_t *out = static_cast<int32_t *>(c.out) + i * c.out_row;
    for (int64_t j = 0; j < c.columns; j++) {
      int32_t sum = 0;
      for (int64_t k = 0; k < c.inner; k++)
        sum += left[i * c.left_row + k * c.left_column] *
               right[k * c.right_row + j * c.right_column];
      out[j] = sum;
    }
  });
  return TMK_OK;
}
