// Expansion of a key into residues, kLanes ChaCha20 blocks at a time: vector w holds word w of each
// block, lane b belongs to block b.
#include "integers.h"

#include "../residues/chacha20.h"

namespace tmk {
namespace {

constexpr int kGroup = kLanes * kBlockWords;

// Elements of kLanes blocks: word w of block b goes to out[16 b + w].
TM_FN void store_group(const Words element[kBlockWords], uint8_t *out) {
  Words quads[4];  // quads[q], lane b: elements 4q .. 4q+3 of block b
#pragma GCC unroll 4
  for (int q = 0; q < 4; q++)
    quads[q] = element[4 * q] | element[4 * q + 1] << 8 | element[4 * q + 2] << 16 |
               element[4 * q + 3] << 24;
  store_interleaved(quads, out);
}

// Elements of blocks counter .. counter+kLanes-1 of the stream.
void expand_group(const uint32_t start[kBlockWords], uint32_t counter, const tmk_expansion &e,
                  uint8_t *out) {
  Words words[kBlockWords];
  for (int i = 0; i < kBlockWords; i++) words[i] = broadcast(start[i]);
  const Words counters = counting() + counter;
  words[12] = counters;
  twenty_rounds(words);
  const Words lowest = broadcast(e.lowest);
  for (int i = 0; i < kBlockWords; i++) {
    const Words word = words[i] + (i == 12 ? counters : broadcast(start[i]));
    words[i] = lowest + high_half(word, e.values);
  }
  store_group(words, out);
}

}  // namespace
}  // namespace tmk

int TMK_ENTRY(chain241_expand)(const tmk_expansion *call) {
  const tmk_expansion &e = *call;
  if (!tmk::valid(e)) return TMK_BAD_ARGUMENT;
  uint32_t start[tmk::kBlockWords];
  tmk::initial_state(start, e.key, e.stream, e.step);
  for (uint64_t done = 0; done < e.count;) {
    const uint64_t element = e.first + done, skipped = element % tmk::kBlockWords;
    const uint32_t counter = static_cast<uint32_t>(element / tmk::kBlockWords);
    if (skipped == 0 && e.count - done >= tmk::kGroup) {
      tmk::expand_group(start, counter, e, e.out + done);
      done += tmk::kGroup;
      continue;
    }
    uint8_t group[tmk::kGroup];  // ragged at either end
    tmk::expand_group(start, counter, e, group);
    const uint64_t left = e.count - done, held = tmk::kGroup - skipped;
    memcpy(e.out + done, group + skipped, left < held ? left : held);
    done += left < held ? left : held;
  }
  return TMK_OK;
}
