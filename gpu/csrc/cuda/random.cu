// Philox by the number of the element, four elements to a thread: reference/elements.cpp is the
// definition.
#include "cuda/device.h"
#include "math/philox.h"

namespace {

constexpr int kThreads = 256;

// block_of(words, values): the four values of a block from its four words.
template <typename Values>
TM_FN void each_block(const tmk_random &call, Values values_of) {
  const uint64_t thread = uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  const uint64_t block = call.first / 4 + thread, end = call.first + call.count;
  if (block * 4 >= end) return;
  uint32_t words[4] = {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                       call.stream, call.step};
  tmk::philox(words, call.key[0], call.key[1]);
  values_of(words);
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const uint64_t element = block * 4 + i;
    if (element >= call.first && element < end)
      static_cast<uint32_t *>(call.out)[element - call.first] = words[i];
  }
}

}  // namespace

TM_KERNEL(random_words, kThreads, tmk_random) {
  each_block(call, [](uint32_t *) {});
}

TM_KERNEL(random_uniform, kThreads, tmk_random) {
  each_block(call, [](uint32_t *words) {
#pragma unroll
    for (int i = 0; i < 4; i++) words[i] = tmk::to_bits(tmk::unit_interval(words[i]));
  });
}

TM_KERNEL(random_normal, kThreads, tmk_random) {
  each_block(call, [](uint32_t *words) {
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
      float cosine, sine;
      tmk::normal_pair(words[i], words[i + 1], &cosine, &sine);
      words[i] = tmk::to_bits(cosine);
      words[i + 1] = tmk::to_bits(sine);
    }
  });
}
