// Kernels with the mistakes that the fibers have to find.
#include "cuda/device.h"

struct Call {
  const uint32_t *in;
  uint32_t *out;
};

// Each thread shows its number to the next one; `kBarrier` says whether it waits in between.
template <bool kBarrier>
TM_DEVICE void shift(const Call &call, uint32_t *shared) {
  shared[threadIdx.x] = threadIdx.x;
  if (kBarrier) __syncthreads();
  call.out[threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x];
}

TM_KERNEL(right, 64, Call) {
  __shared__ uint32_t shared[64];
  shift<true>(call, shared);
}

TM_KERNEL(without_barrier, 64, Call) {
  __shared__ uint32_t shared[64];
  shift<false>(call, shared);
}

TM_KERNEL(barrier_for_some, 64, Call) {
  if (threadIdx.x < 40) __syncthreads();
  call.out[threadIdx.x] = tmk::exchanged(threadIdx.x, 1);
}

TM_KERNEL(exchange_for_some, 64, Call) {
  if (threadIdx.x == 5) return;
  call.out[threadIdx.x] = tmk::exchanged(threadIdx.x, 1);
}

TM_KERNEL(different_instructions, 64, Call) {
  if (threadIdx.x % 2) {
    call.out[threadIdx.x] = tmk::exchanged(threadIdx.x, 2);
  } else {
    int32_t sum[2] = {};
    tmk::multiply_8_8_16(sum, 1, 1);
    call.out[threadIdx.x] = sum[0];
  }
}

TM_KERNEL(writes_beyond, 64, Call) { call.out[threadIdx.x * 2] = 1; }

TM_KERNEL(reads_before, 64, Call) { call.out[threadIdx.x] = call.in[int{threadIdx.x} - 1025]; }

TM_KERNEL(reads_what_was_not_written, 64, Call) {
  __shared__ uint32_t shared[64];
  if (threadIdx.x > 0) shared[threadIdx.x] = 0;
  __syncthreads();
  call.out[threadIdx.x] = shared[threadIdx.x];
}

TM_KERNEL(misaligned_copy, 64, Call) {
  __shared__ uint32_t shared[4 * 64];
  tmk::start_copy(shared + 1, call.in);
}

// A copy that is not waited for.
TM_KERNEL(early, 64, Call) {
  alignas(16) __shared__ uint32_t shared[4];
  if (threadIdx.x == 0) tmk::start_copy(shared, call.in);
  tmk::bundle_copies();
  tmk::await_copies<1>();
  __syncthreads();
  call.out[threadIdx.x] = shared[threadIdx.x % 4];
}

TM_KERNEL(in_time, 64, Call) {
  alignas(16) __shared__ uint32_t shared[4];
  if (threadIdx.x == 0) tmk::start_copy(shared, call.in);
  tmk::bundle_copies();
  tmk::await_copies<0>();
  __syncthreads();
  call.out[threadIdx.x] = shared[threadIdx.x % 4];
}
