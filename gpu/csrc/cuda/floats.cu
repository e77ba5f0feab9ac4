// Products of float matrices, either transposed: reference/gemm.cpp is the definition.
#include "cuda/fours.h"

namespace {

template <bool kFours, typename Left, typename Right>
TM_FN void multiply(const tmk_gemm &call, int64_t left_step, int64_t right_step) {
  __shared__ tmk::FloatStages stages;
  const tmk::Corner corner = tmk::corner_of_block();
  const Left left(static_cast<const float *>(call.left), left_step, call.rows, corner.row);
  const Right right(static_cast<const float *>(call.right), right_step, call.columns, corner.column);
  const tmk::Target to{static_cast<float *>(call.out), call.out_row, call.rows, call.columns, corner};
  tmk::multiply_floats<kFours>(stages, left, right, to, call.inner);
}

}  // namespace

// Named by which side has its inner elements together. `fours`: all that is together comes in aligned
// fours, in the result too.
#define TM_GEMM(name, left, right, left_step, right_step)                                      \
  TM_KERNEL(gemm_f32_##name, tmk::kFloatThreads, tmk_gemm) {                                   \
    multiply<false, tmk::AnyMatrix<left>, tmk::AnyMatrix<right>>(call, left_step, right_step); \
  }                                                                                            \
  TM_KERNEL_BESIDE(tmk::kFloatBeside, gemm_f32_##name##_fours, tmk::kFloatThreads, tmk_gemm) { \
    multiply<true, tmk::FoursMatrix<left>, tmk::FoursMatrix<right>>(call, left_step, right_step); \
  }
TM_GEMM(left, true, false, call.left_row, call.right_row)
TM_GEMM(both, true, true, call.left_row, call.right_column)
TM_GEMM(neither, false, false, call.left_column, call.right_row)
TM_GEMM(right, false, true, call.left_column, call.right_column)
