// Integer products of AVX2: a 32-bit group holds two neighbours k, k+1 of the inner dimension as
// signed 16-bit numbers, since vpmaddwd multiplies and adds such pairs. (vpmaddubsw on bytes would
// be half the memory, but its 16-bit sums saturate.)
#ifndef TM_INTEGERS_H
#define TM_INTEGERS_H

#include "lanes.h"

#include "../../residues/field.h"

namespace tmk {
namespace {

constexpr int kTogether = 2;              // inner elements of a group
constexpr bool kOffsetLeft = false;       // left numbers are themselves

TM_FN Words dot(Words sums, Words left, Words right) {
  return sums + (Words)_mm256_madd_epi16((__m256i)left, (__m256i)right);
}

// Sixteen bytes of which only the first `count` are there.
inline __m128i load16(const void *bytes, int64_t count) {
  if (count >= 16) return _mm_loadu_si128((const __m128i *)bytes);
  alignas(16) uint8_t padded[16] = {0};
  if (count > 0) memcpy(padded, bytes, count);
  return _mm_load_si128((const __m128i *)padded);
}

// x mod 241 for sixteen unsigned 16-bit x: 34808 = ceil(2^23 / 241) is exact below 69,905.
TM_FN __m256i modulo16(__m256i x) {
  const __m256i quotient =
      _mm256_srli_epi16(_mm256_mulhi_epu16(x, _mm256_set1_epi16(static_cast<int16_t>(34808))), 7);
  return _mm256_sub_epi16(x, _mm256_mullo_epi16(quotient, _mm256_set1_epi16(kModulus)));
}

// Sixteen bytes as signed centred residues: x - 241 = x + 15 mod 256.
TM_FN __m128i centred8(__m128i x) {
  const __m128i over = _mm_cmpeq_epi8(_mm_max_epu8(x, _mm_set1_epi8(kHalf + 1)), x);
  return _mm_add_epi8(x, _mm_and_si128(over, _mm_set1_epi8(256 - kModulus)));
}

// The bytes that make kLanes groups of a row.
using Row = __m128i;
TM_FN Row load_row(const void *bytes) { return _mm_loadu_si128((const __m128i *)bytes); }
TM_FN Row load_row_part(const void *bytes, int64_t count) { return load16(bytes, count); }

// Only the right operand is centred: |sum| <= 255 * 120 * 65536 + 255 * 255 < 2^31.
TM_FN Words left_groups(Residues, Row x) { return (Words)_mm256_cvtepu8_epi16(x); }
TM_FN Words left_groups(Residues, Row x, Row scale) {
  return (Words)modulo16(
      _mm256_mullo_epi16(_mm256_cvtepu8_epi16(x), _mm256_cvtepu8_epi16(scale)));
}
TM_FN Words left_groups(Bytes, Row x) { return (Words)_mm256_cvtepi8_epi16(x); }

TM_FN __m128i right_bytes(Residues, __m128i bytes) { return centred8(bytes); }
TM_FN __m128i right_bytes(Bytes, __m128i bytes) { return bytes; }

// Rows k, k+1 of the right operand, of which `deep` are there, sixteen columns of which `wide`.
template <typename Kind, typename Number>
TM_FN void right_groups(Kind kind, const Number *rows, int64_t stride, int64_t deep, int64_t wide,
                        Words out[2]) {
  const __m128i even = right_bytes(kind, load16(rows, wide));
  const __m128i odd = deep > 1 ? right_bytes(kind, load16(rows + stride, wide)) : __m128i{};
  out[0] = (Words)_mm256_cvtepi8_epi16(_mm_unpacklo_epi8(even, odd));
  out[1] = (Words)_mm256_cvtepi8_epi16(_mm_unpackhi_epi8(even, odd));
}

// Eight sums to sums congruent mod 241 that fit 16 bits: 2^16 = -16 leaves -489,600..555,135, and
// 2^8 = 15 then -28,695..32,775, less 16 * 241.
TM_FN __m256i folded(__m256i sums) {
  const __m256i high = _mm256_srai_epi32(sums, 16);
  const __m256i low = _mm256_and_si256(sums, _mm256_set1_epi32(0xffff));
  const __m256i twenty = _mm256_sub_epi32(low, _mm256_slli_epi32(high, 4));
  const __m256i upper = _mm256_srai_epi32(twenty, 8);
  const __m256i lower = _mm256_sub_epi32(_mm256_and_si256(twenty, _mm256_set1_epi32(0xff)),
                                         _mm256_set1_epi32(16 * kModulus));
  return _mm256_add_epi32(lower, _mm256_sub_epi32(_mm256_slli_epi32(upper, 4), upper));
}

// Sixteen sums as canonical bytes.
TM_FN void store_residues(const Words sums[2], uint8_t bytes[16]) {
  const __m256i packed = _mm256_packs_epi32(folded((__m256i)sums[0]), folded((__m256i)sums[1]));
  const __m256i ordered = _mm256_permute4x64_epi64(packed, 0xd8);
  const __m256i raise = _mm256_set1_epi16(static_cast<int16_t>(136 * kModulus));
  const __m256i residues = modulo16(_mm256_add_epi16(ordered, raise));
  _mm_storeu_si128((__m128i *)bytes, _mm_packus_epi16(_mm256_castsi256_si128(residues),
                                                      _mm256_extracti128_si256(residues, 1)));
}

// Sixteen bytes as words, times a factor.
TM_FN void outer(uint32_t factor, const uint8_t *row, int64_t wide, Words out[2]) {
  const __m128i bytes = load16(row, wide);
  const Words factors = broadcast(factor);
  out[0] = (Words)_mm256_madd_epi16((__m256i)factors, _mm256_cvtepu8_epi32(bytes));
  out[1] = (Words)_mm256_madd_epi16((__m256i)factors,
                                    _mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)));
}

// W8A8: groups of four signed bytes within -127..127. vpmaddubsw takes an unsigned and a signed
// operand; |left| and right with left's sign keep the sums of two within 2 * 127 * 127 < 2^15.
constexpr uint32_t kQuadOffset = 0;

TM_FN Words dot_quads(Words sums, Words left, Words right) {
  const __m256i size = _mm256_abs_epi8((__m256i)left);
  const __m256i signs = _mm256_sign_epi8((__m256i)right, (__m256i)left);
  const __m256i pairs = _mm256_maddubs_epi16(size, signs);
  return sums + (Words)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

// The low bytes of eight words.
TM_FN void store_bytes(uint8_t *to, Words words) {
  const __m256i order = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                         -1, 0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                         -1, -1);
  const __m256i low = _mm256_shuffle_epi8((__m256i)words, order);
  const uint64_t bytes =
      static_cast<uint32_t>(_mm256_extract_epi32(low, 0)) |
      static_cast<uint64_t>(static_cast<uint32_t>(_mm256_extract_epi32(low, 4))) << 32;
  memcpy(to, &bytes, sizeof bytes);
}

template <int bits>
TM_FN Words rotated(Words words) {
  return words << bits | words >> (32 - bits);
}

TM_FN Words shuffled_bytes(Words words, __m128i order) {
  return (Words)_mm256_shuffle_epi8((__m256i)words, _mm256_broadcastsi128_si256(order));
}

template <>
TM_FN Words rotated<16>(Words words) {
  return shuffled_bytes(words, _mm_setr_epi8(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
}

template <>
TM_FN Words rotated<8>(Words words) {
  return shuffled_bytes(words, _mm_setr_epi8(3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14));
}

// Word b of vector q goes to place 4 b + q of the words at `out`.
TM_FN void store_interleaved(const Words quads[4], uint8_t *out) {
  const __m256i *q = (const __m256i *)quads;
  const __m256i low01 = _mm256_unpacklo_epi32(q[0], q[1]);
  const __m256i low23 = _mm256_unpacklo_epi32(q[2], q[3]);
  const __m256i high01 = _mm256_unpackhi_epi32(q[0], q[1]);
  const __m256i high23 = _mm256_unpackhi_epi32(q[2], q[3]);
  const __m256i blocks[4] = {  // blocks[b]: place b in the low half, place b + 4 in the high one
      _mm256_unpacklo_epi64(low01, low23), _mm256_unpackhi_epi64(low01, low23),
      _mm256_unpacklo_epi64(high01, high23), _mm256_unpackhi_epi64(high01, high23)};
  for (int b = 0; b < 4; b++) {
    _mm_storeu_si128((__m128i *)(out + 16 * b), _mm256_castsi256_si128(blocks[b]));
    _mm_storeu_si128((__m128i *)(out + 16 * (b + 4)), _mm256_extracti128_si256(blocks[b], 1));
  }
}

}  // namespace
}  // namespace tmk

#endif
