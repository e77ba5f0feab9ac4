// Residues of F_241 in AVX2 registers: sixteen 16-bit lanes, or eight 32-bit sums.
#ifndef AVX2_LANES_H
#define AVX2_LANES_H

#include <immintrin.h>

#include "../chain241.h"

namespace {

// x mod 241 for sixteen unsigned 16-bit x: 34808 = ceil(2^23 / 241) is exact below 69,905.
inline __m256i modulo16(__m256i x) {
  const __m256i quotient =
      _mm256_srli_epi16(_mm256_mulhi_epu16(x, _mm256_set1_epi16(static_cast<int16_t>(34808))), 7);
  return _mm256_sub_epi16(x, _mm256_mullo_epi16(quotient, _mm256_set1_epi16(kModulus)));
}

// Sixteen residues 0..240 as -120..120.
inline __m256i centred16(__m256i x) {
  const __m256i over = _mm256_cmpgt_epi16(x, _mm256_set1_epi16(kHalf));
  return _mm256_sub_epi16(x, _mm256_and_si256(over, _mm256_set1_epi16(kModulus)));
}

// Thirty-two bytes as signed centred residues: x - 241 = x + 15 mod 256.
inline __m256i centred8(__m256i x) {
  const __m256i over = _mm256_cmpeq_epi8(_mm256_max_epu8(x, _mm256_set1_epi8(kHalf + 1)), x);
  return _mm256_add_epi8(x, _mm256_and_si256(over, _mm256_set1_epi8(256 - kModulus)));
}

// Eight sums, |sum| <= 120*120*65536 + 240*240, to sums congruent mod 241 within -13,500..17,595:
// 2^16 = -16 leaves 20 bits, 2^8 = 15 leaves 16.
inline __m256i folded(__m256i sums) {
  const __m256i high = _mm256_srai_epi32(sums, 16);
  const __m256i low = _mm256_and_si256(sums, _mm256_set1_epi32(0xffff));
  const __m256i twenty = _mm256_sub_epi32(low, _mm256_slli_epi32(high, 4));
  const __m256i upper = _mm256_srai_epi32(twenty, 8);
  const __m256i lower = _mm256_and_si256(twenty, _mm256_set1_epi32(0xff));
  return _mm256_add_epi32(lower, _mm256_sub_epi32(_mm256_slli_epi32(upper, 4), upper));
}

// Sixteen sums (eight and eight, in order) as canonical bytes.
inline __m128i canonical(__m256i first, __m256i second) {
  const __m256i packed = _mm256_packs_epi32(folded(first), folded(second));
  const __m256i ordered = _mm256_permute4x64_epi64(packed, 0xd8);
  const __m256i residues = modulo16(_mm256_add_epi16(ordered, _mm256_set1_epi16(57 * kModulus)));
  return _mm_packus_epi16(_mm256_castsi256_si128(residues),
                          _mm256_extracti128_si256(residues, 1));
}

}  // namespace

#endif
