// Products of float matrices, either transposed: reference/gemm.cpp is the definition.
#include "cuda/float_tile.h"

namespace {

template <bool kLeftTogether, bool kRightTogether>
TM_FN void multiply(const tmk_gemm &call, tmk::FloatStages &stages) {
  const tmk::PlainOperand<kLeftTogether> left{static_cast<const float *>(call.left), call.left_row,
                                              call.left_column, call.rows, call.inner};
  const tmk::PlainOperand<kRightTogether> right{static_cast<const float *>(call.right),
                                                call.right_column, call.right_row, call.columns,
                                                call.inner};
  tmk::multiply_floats(stages, left, right, static_cast<float *>(call.out), call.out_row);
}

}  // namespace

// Named by which side has its inner elements together.
#define TM_GEMM(name, left, right)                        \
  TM_KERNEL(gemm_f32_##name, tmk::kFloatThreads, tmk_gemm) { \
    __shared__ tmk::FloatStages stages;                   \
    multiply<left, right>(call, stages);                  \
  }
TM_GEMM(left, true, false)
TM_GEMM(both, true, true)
TM_GEMM(neither, false, false)
TM_GEMM(right, false, true)
