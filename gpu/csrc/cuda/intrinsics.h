// The device's own instructions, each behind a name that the shim of the tests gives too.
#ifndef TM_CUDA_INTRINSICS_H
#define TM_CUDA_INTRINSICS_H

#include <stdint.h>

#define TM_ARCH __CUDA_ARCH__
#define TM_DEVICE __device__ __forceinline__
// `beside`: how many blocks share a multiprocessor, at least. Where the compiler hopes for more of
// them than it is told, it spills registers.
#define TM_KERNEL_BESIDE(beside, name, threads, Call) \
  extern "C" __global__ void __launch_bounds__(threads, beside) \
      name(const __grid_constant__ Call call)
#define TM_KERNEL(name, threads, Call) TM_KERNEL_BESIDE(1, name, threads, Call)

namespace tmk {
namespace {

// The value of the lane whose number differs by `distance` in one bit.
template <typename T>
TM_DEVICE T exchanged(T value, int distance) {
  return __shfl_xor_sync(0xffffffffu, value, distance);
}

// What the warp's lanes wrote to shared memory before, all of them see after.
TM_DEVICE void warp_barrier() { __syncwarp(); }

TM_DEVICE uint32_t shared_address(const void *shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// 16 bytes from global to shared memory, there after `await_copies`. Both are aligned to 16.
TM_DEVICE void start_copy(void *shared, const void *global) {
#if TM_ARCH >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;"
               :: "r"(shared_address(shared)), "l"(global) : "memory");
#else
  *static_cast<uint4 *>(shared) = *static_cast<const uint4 *>(global);
#endif
}

// Copies are counted in bundles: those a thread has started since its last bundle.
TM_DEVICE void bundle_copies() {
#if TM_ARCH >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until at most `kLeft` of this thread's bundles are on their way.
template <int kLeft>
TM_DEVICE void await_copies() {
#if TM_ARCH >= 800
  asm volatile("cp.async.wait_group %0;" :: "n"(kLeft) : "memory");
#endif
}

// Four matrices of 8 rows of 16 bytes: lane i names row i % 8 of matrix i / 8, and gets of each matrix
// word i % 4 of row i / 4.
TM_DEVICE void load_matrices(const void *row, uint32_t words[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(shared_address(row)) : "memory");
}

// sum[16][8] += left[16][32] right[32][8] of signed bytes, exactly, spread over the warp as PTX says
// for mma.m16n8k32: lane 4 g + q has rows g, g + 8 and columns 2 q, 2 q + 1 of the sums, inner
// elements 4 q ... and 16 + 4 q ... of rows g, g + 8 on the left and of column g on the right.
TM_DEVICE void multiply_16_8_32(int32_t sum[4], const uint32_t left[4], const uint32_t right[2]) {
#if TM_ARCH >= 800
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32"
      " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(sum[0]), "+r"(sum[1]), "+r"(sum[2]), "+r"(sum[3])
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right[0]), "r"(right[1]));
#endif
}

// sum[8][8] += left[8][16] right[16][8] in the same way, with one word of either side to a lane.
TM_DEVICE void multiply_8_8_16(int32_t sum[2], uint32_t left, uint32_t right) {
  asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
      : "+r"(sum[0]), "+r"(sum[1]) : "r"(left), "r"(right));
}

// sum + the products of four signed bytes each.
TM_DEVICE int32_t multiply_four(int32_t sum, uint32_t left, uint32_t right) {
  return __dp4a(static_cast<int32_t>(left), static_cast<int32_t>(right), sum);
}

}  // namespace
}  // namespace tmk

#endif
