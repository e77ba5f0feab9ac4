// Expansion of a key into residues, eight ChaCha20 blocks at a time: vector w holds word w of each
// block, lane b belongs to block b.
#include <immintrin.h>

#include "../chain241.h"

namespace {

constexpr int kLanes = 8;
typedef uint32_t Lanes __attribute__((vector_size(32)));

template <int bits>
inline Lanes rotated(Lanes words) {
  return words << bits | words >> (32 - bits);
}

inline Lanes shuffled_bytes(Lanes words, __m128i order) {
  return (Lanes)_mm256_shuffle_epi8((__m256i)words, _mm256_broadcastsi128_si256(order));
}

template <>
inline Lanes rotated<16>(Lanes words) {
  return shuffled_bytes(words, _mm_setr_epi8(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
}

template <>
inline Lanes rotated<8>(Lanes words) {
  return shuffled_bytes(words, _mm_setr_epi8(3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14));
}

}  // namespace

#include "../chacha20.h"

namespace {

constexpr int kGroup = kLanes * kBlockWords;

inline Lanes broadcast(uint32_t word) { return Lanes{} + word; }

// lowest + floor(values * word / 2^32); values < 2^16, so no step exceeds 32 bits.
inline Lanes mapped(Lanes words, Lanes values, Lanes lowest) {
  const Lanes low = (words & 0xffff) * values >> 16;
  return lowest + (((words >> 16) * values + low) >> 16);
}

// Elements of eight blocks: word w of block b goes to out[16 b + w].
void store_group(const Lanes element[kBlockWords], uint8_t *out) {
  __m256i quads[4];  // quads[q], lane b: elements 4q .. 4q+3 of block b
  for (int q = 0; q < 4; q++)
    quads[q] = (__m256i)(element[4 * q] | element[4 * q + 1] << 8 | element[4 * q + 2] << 16 |
                         element[4 * q + 3] << 24);
  const __m256i low01 = _mm256_unpacklo_epi32(quads[0], quads[1]);
  const __m256i low23 = _mm256_unpacklo_epi32(quads[2], quads[3]);
  const __m256i high01 = _mm256_unpackhi_epi32(quads[0], quads[1]);
  const __m256i high23 = _mm256_unpackhi_epi32(quads[2], quads[3]);
  const __m256i blocks[4] = {  // blocks[b]: block b in the low half, block b + 4 in the high one
      _mm256_unpacklo_epi64(low01, low23), _mm256_unpackhi_epi64(low01, low23),
      _mm256_unpacklo_epi64(high01, high23), _mm256_unpackhi_epi64(high01, high23)};
  for (int b = 0; b < 4; b++) {
    _mm_storeu_si128((__m128i *)(out + 16 * b), _mm256_castsi256_si128(blocks[b]));
    _mm_storeu_si128((__m128i *)(out + 16 * (b + 4)), _mm256_extracti128_si256(blocks[b], 1));
  }
}

void expand_group(const uint32_t start[kBlockWords], uint32_t counter, const tmk_expansion &e,
                  uint8_t *out) {
  Lanes words[kBlockWords];
  for (int i = 0; i < kBlockWords; i++) words[i] = broadcast(start[i]);
  const Lanes counters = Lanes{0, 1, 2, 3, 4, 5, 6, 7} + counter;
  words[12] = counters;
  twenty_rounds(words);
  const Lanes values = broadcast(e.values), lowest = broadcast(e.lowest);
  for (int i = 0; i < kBlockWords; i++)
    words[i] = mapped(words[i] + (i == 12 ? counters : broadcast(start[i])), values, lowest);
  store_group(words, out);
}

}  // namespace

int tmk_avx2_chain241_expand(const tmk_expansion *arguments) {
  const tmk_expansion &e = *arguments;
  if (!valid(e)) return TMK_BAD_ARGUMENT;
  uint32_t start[kBlockWords];
  initial_state(start, e.key, e.stream, e.step);
  for (uint64_t done = 0; done < e.count;) {
    const uint64_t element = e.first + done, skipped = element % kBlockWords;
    const uint32_t counter = static_cast<uint32_t>(element / kBlockWords);
    if (skipped == 0 && e.count - done >= kGroup) {
      expand_group(start, counter, e, e.out + done);
      done += kGroup;
      continue;
    }
    uint8_t group[kGroup];  // ragged at either end
    expand_group(start, counter, e, group);
    const uint64_t left = e.count - done, held = kGroup - skipped;
    memcpy(e.out + done, group + skipped, left < held ? left : held);
    done += left < held ? left : held;
  }
  return TMK_OK;
}
