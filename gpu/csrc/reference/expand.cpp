// Expansion of a key into residues, one ChaCha20 block after another.
#include "../residues/field.h"

namespace tmk {
namespace {

template <int bits>
inline uint32_t rotated(uint32_t word) {
  return word << bits | word >> (32 - bits);
}

}  // namespace
}  // namespace tmk

#include "../residues/chacha20.h"

namespace tmk {
namespace {

void key_stream_block(const uint32_t start[kBlockWords], uint32_t counter,
                      uint32_t words[kBlockWords]) {
  memcpy(words, start, kBlockWords * sizeof *words);
  words[12] = counter;
  twenty_rounds(words);
  for (int i = 0; i < kBlockWords; i++) words[i] += i == 12 ? counter : start[i];
}

}  // namespace
}  // namespace tmk

int tmk_baseline_chain241_expand(const tmk_expansion *call) {
  const tmk_expansion &e = *call;
  if (!tmk::valid(e)) return TMK_BAD_ARGUMENT;
  uint32_t start[tmk::kBlockWords], words[tmk::kBlockWords];
  tmk::initial_state(start, e.key, e.stream, e.step);
  for (uint64_t done = 0; done < e.count;) {
    const uint64_t element = e.first + done;
    tmk::key_stream_block(start, static_cast<uint32_t>(element / tmk::kBlockWords), words);
    for (uint64_t i = element % tmk::kBlockWords; i < tmk::kBlockWords && done < e.count; i++)
      e.out[done++] = tmk::mapped(words[i], e.values, e.lowest);
  }
  return TMK_OK;
}
