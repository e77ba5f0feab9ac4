// The device of the CUDA kernels, played by a CPU: the names of csrc/cuda/intrinsics.h and of CUDA
// itself. Each thread of a block is a fiber; warps run one after the other, each as far as it comes
// without the rest of its block, in their order and in the reverse one: a missing barrier shows.
//
// What a device forbids is an error here: threads that wait for different things, lanes that are
// missing from an instruction of their warp, misaligned copies, memory beyond an allocation.
// Shared memory holds rubbish when a block starts, and asynchronous copies come as late as they may.
#ifndef TM_FIBERS_H
#define TM_FIBERS_H

#include <stdint.h>
#include <string.h>

#define TM_DEVICE inline __attribute__((always_inline))
#define __shared__ static __attribute__((section("tm_shared")))
#define __restrict__ __restrict

// A kernel is found by its name; the sizes are what a driver checks a launch against.
#define TM_KERNEL(name, threads, Call)                                           \
  static void body_of_##name(const Call &call);                                  \
  extern "C" void kernel_##name(const void *call) {                              \
    body_of_##name(*static_cast<const Call *>(call));                            \
  }                                                                              \
  extern "C" const int64_t call_bytes_of_##name = sizeof(Call);                  \
  extern "C" const int64_t most_threads_of_##name = threads;                     \
  static void body_of_##name(const Call &call)

#define TM_KERNEL_BESIDE(beside, name, threads, Call) TM_KERNEL(name, threads, Call)

namespace shim {

struct Index {
  unsigned x, y, z;
};

// What a fiber waits for when it lets others run.
enum Wait { kNothing, kBlock, kShuffle, kMatrices, kMultiplication, kSmallMultiplication };

constexpr int kLanes = 32, kWords = 4;

// Of the fiber that runs.
extern "C" Index shim_thread_index, shim_block_index, shim_block_size, shim_grid_size;

// The words that this fiber's warp exchanges: written by every lane, read after `meet`.
extern "C" uint64_t (*shim_slots())[kWords];
extern "C" void shim_wait(Wait wait);
extern "C" void shim_fail(const char *reason);
extern "C" void shim_start_copy(void *to, const void *from);
extern "C" void shim_bundle_copies();
extern "C" void shim_await_copies(int left);

inline int lane() { return shim_thread_index.x % kLanes; }

inline void require_aligned(const void *address, const char *reason) {
  if (reinterpret_cast<uintptr_t>(address) % 16 != 0) shim_fail(reason);
}

// Every lane shows its words, and sees those of all lanes.
template <typename Words>
inline const uint64_t (*shown(Wait wait, const Words &words))[kWords] {
  uint64_t(*slots)[kWords] = shim_slots();
  static_assert(sizeof words <= sizeof slots[0], "too many words");
  memcpy(slots[lane()], &words, sizeof words);
  shim_wait(wait);
  return slots;
}

template <typename T>
inline T word_of(const uint64_t slot[kWords], int number = 0) {
  T word;
  memcpy(&word, reinterpret_cast<const char *>(slot) + number * sizeof word, sizeof word);
  return word;
}

// A sum of products of signed bytes.
template <int kInner>
inline int32_t dot(const int8_t left[kInner], const int8_t right[kInner]) {
  int32_t sum = 0;
  for (int k = 0; k < kInner; k++) sum += left[k] * right[k];
  return sum;
}

}  // namespace shim

#define threadIdx shim::shim_thread_index
#define blockIdx shim::shim_block_index
#define blockDim shim::shim_block_size
#define gridDim shim::shim_grid_size

inline void __syncthreads() { shim::shim_wait(shim::kBlock); }

namespace tmk {
namespace {

template <typename T>
TM_DEVICE T exchanged(T value, int distance) {
  return shim::word_of<T>(shim::shown(shim::kShuffle, value)[shim::lane() ^ distance]);
}

inline void warp_barrier() { shim::shown(shim::kShuffle, 0); }

inline void start_copy(void *shared, const void *global) {
  shim::require_aligned(shared, "a copy to a misaligned address");
  shim::require_aligned(global, "a copy from a misaligned address");
#if TM_ARCH >= 800
  shim::shim_start_copy(shared, global);
#else
  memcpy(shared, global, 16);
#endif
}

inline void bundle_copies() { shim::shim_bundle_copies(); }

template <int kLeft>
inline void await_copies() {
  shim::shim_await_copies(kLeft);
}

inline void load_matrices(const void *row, uint32_t words[4]) {
  shim::require_aligned(row, "a matrix row at a misaligned address");
  const auto slots = shim::shown(shim::kMatrices, row);
  for (int matrix = 0; matrix < 4; matrix++) {
    const void *from = shim::word_of<const void *>(slots[matrix * 8 + shim::lane() / 4]);
    memcpy(&words[matrix], static_cast<const char *>(from) + shim::lane() % 4 * 4, 4);
  }
}

// PTX ISA, "Matrix Fragments for mma.m16n8k32": word w of lane 4 g + q is, on the left, row
// g + 8 (w % 2), inner elements 16 (w / 2) + 4 q ...; on the right, column g, elements 16 w + 4 q ...
inline void multiply_16_8_32(int32_t sum[4], const uint32_t left[4], const uint32_t right[2]) {
  const struct {
    uint32_t words[6];
  } own = {{left[0], left[1], left[2], left[3], right[0], right[1]}};
  const auto slots = shim::shown(shim::kMultiplication, own);
  int8_t rows[2][32], columns[2][32];
  for (int i = 0; i < 2; i++)
    for (int k = 0; k < 32; k += 4) {
      const int g = shim::lane() / 4, column = shim::lane() % 4 * 2 + i, q = k % 16 / 4;
      const uint32_t on_left = shim::word_of<uint32_t>(slots[g * 4 + q], k / 16 * 2 + i);
      const uint32_t on_right = shim::word_of<uint32_t>(slots[column * 4 + q], 4 + k / 16);
      memcpy(rows[i] + k, &on_left, 4);
      memcpy(columns[i] + k, &on_right, 4);
    }
  for (int e = 0; e < 4; e++) sum[e] += shim::dot<32>(rows[e / 2], columns[e % 2]);
}

// "Matrix Fragments for mma.m8n8k16": the word of lane 4 g + q is row or column g, elements 4 q ...
inline void multiply_8_8_16(int32_t sum[2], uint32_t left, uint32_t right) {
  const struct {
    uint32_t words[2];
  } own = {{left, right}};
  const auto slots = shim::shown(shim::kSmallMultiplication, own);
  int8_t row[16], column[16];
  for (int e = 0; e < 2; e++) {
    for (int k = 0; k < 16; k += 4) {
      const auto from = slots[(shim::lane() % 4 * 2 + e) * 4 + k / 4];
      const uint32_t on_right = shim::word_of<uint32_t>(from, 1);
      memcpy(row + k, slots[shim::lane() / 4 * 4 + k / 4], 4);
      memcpy(column + k, &on_right, 4);
    }
    sum[e] += shim::dot<16>(row, column);
  }
}

inline int32_t multiply_four(int32_t sum, uint32_t left, uint32_t right) {
  int8_t a[4], b[4];
  memcpy(a, &left, 4);
  memcpy(b, &right, 4);
  return sum + shim::dot<4>(a, b);
}

}  // namespace
}  // namespace tmk

#endif
