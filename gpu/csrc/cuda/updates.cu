// Optimizers, biases, and the gradient of a table that rows were taken from: csrc/training/updates.h
// is the definition.
#include "cuda/device.h"
#include "shapes/updates.h"

namespace {

constexpr int kThreads = 256;

TM_FN int64_t thread_number() { return int64_t{blockIdx.x} * kThreads + threadIdx.x; }

}  // namespace

TM_KERNEL(sgd, kThreads, tmk_update) {
  if (thread_number() < call.count) tmk::sgd_step(call, thread_number());
}

TM_KERNEL(adamw, kThreads, tmk_update) {
  if (thread_number() < call.count) tmk::adamw_step(call, thread_number());
}

TM_KERNEL(add_bias, kThreads, tmk_rows) {
  const int64_t i = thread_number();
  if (i / call.width < call.rows)
    call.out[i] = tmk::canonical(call.in[i] + call.bias[i % call.width]);
}

TM_KERNEL(clear_table, kThreads, tmk_scatter) {
  if (thread_number() < call.rows * call.width) call.out[thread_number()] = 0.0f;
}

// A block to each index. The first of equal ones makes the table's row: it adds the rows of all of
// them in ascending order.
TM_KERNEL(scatter, kThreads, tmk_scatter) {
  __shared__ int is_later;
  const int64_t own = blockIdx.x;
  const int32_t index = call.indices[own];
  if (threadIdx.x == 0) is_later = 0;
  __syncthreads();
  for (int64_t i = threadIdx.x; i < own; i += kThreads)
    if (call.indices[i] == index) is_later = 1;
  __syncthreads();
  if (is_later) return;
  for (int64_t column = threadIdx.x; column < call.width; column += kThreads) {
    float sum = 0.0f;
    for (int64_t i = own; i < call.count; i++)
      if (call.indices[i] == index) sum = sum + call.in[i * call.width + column];
    call.out[index * call.width + column] = tmk::canonical(sum);
  }
}
