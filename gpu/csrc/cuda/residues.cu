// Bytes and residues mod 241, one thread to a byte or to a block of a key's stream.
#include "cuda/calls.h"
#include "cuda/device.h"
#include "residues/field.h"

namespace tmk {
namespace {

template <int bits>
TM_FN uint32_t rotated(uint32_t word) {
  return word << bits | word >> (32 - bits);
}

}  // namespace
}  // namespace tmk

#include "residues/chacha20.h"

namespace {

constexpr int kThreads = 256;

TM_FN int64_t thread_number() { return int64_t{blockIdx.x} * kThreads + threadIdx.x; }

}  // namespace

// A thread makes the sixteen elements of one block.
TM_KERNEL(chacha20_expand, kThreads, tmk_expanded) {
  const uint64_t block = call.first / tmk::kBlockWords + thread_number();
  const uint64_t end = call.first + call.count;
  if (block * tmk::kBlockWords >= end) return;
  uint32_t words[tmk::kBlockWords];
#pragma unroll
  for (int i = 0; i < tmk::kBlockWords; i++) words[i] = call.state[i];
  words[12] = static_cast<uint32_t>(block);
  tmk::twenty_rounds(words);
#pragma unroll
  for (int i = 0; i < tmk::kBlockWords; i++) {
    const uint64_t element = block * tmk::kBlockWords + i;
    const uint32_t word = words[i] + (i == 12 ? static_cast<uint32_t>(block) : call.state[i]);
    if (element >= call.first && element < end)
      call.out[element - call.first] = tmk::mapped(word, call.values, call.lowest);
  }
}

TM_KERNEL(chain241_scale_rows, kThreads, tmk_residues) {
  const int64_t row = thread_number() / call.width, column = thread_number() % call.width;
  if (row >= call.rows) return;
  uint8_t *entry = call.matrix + row * call.stride + column;
  *entry = static_cast<uint8_t>(unsigned{*entry} * call.factors[row] % tmk::kModulus);
}

TM_KERNEL(bytes_over_240, kThreads, tmk_bytes) {
  const int64_t row = thread_number() / call.width, column = thread_number() % call.width;
  if (row < call.rows && call.left[row * call.left_stride + column] >= tmk::kModulus)
    *call.found = 1;
}

TM_KERNEL(bytes_differ, kThreads, tmk_bytes) {
  const int64_t row = thread_number() / call.width, column = thread_number() % call.width;
  if (row < call.rows && call.left[row * call.left_stride + column] !=
                             call.right[row * call.right_stride + column])
    *call.found = 1;
}

TM_KERNEL(copy_rows, kThreads, tmk_copy) {
  const int64_t row = thread_number() / call.width, column = thread_number() % call.width;
  if (row < call.rows) call.out[thread_number()] = call.in[row * call.stride + column];
}
