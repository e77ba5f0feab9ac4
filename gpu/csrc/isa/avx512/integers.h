// Integer products of AVX-512 VNNI: a 32-bit group holds four neighbours of the inner dimension.
// vpdpbusd multiplies unsigned by signed bytes, so left numbers are kept with 128 added; sums start
// with what takes that back.
#ifndef TM_INTEGERS_H
#define TM_INTEGERS_H

#include "lanes.h"

#include "../../residues/field.h"

namespace tmk {
namespace {

constexpr int kTogether = 4;           // inner elements of a group
constexpr bool kOffsetLeft = true;     // left numbers are 128 too large

TM_FN Words dot(Words sums, Words left, Words right) {
  return (Words)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)left, (__m512i)right);
}

TM_FN __mmask64 first_bytes(int64_t count) {
  return count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}
TM_FN __mmask32 first_half(int64_t count) {
  return static_cast<__mmask32>(count >= 32 ? 0xffffffffu : (1u << count) - 1);
}

// x mod 241 for 32 unsigned 16-bit x: 34808 = ceil(2^23 / 241) is exact below 69,905.
TM_FN __m512i modulo16(__m512i x) {
  const __m512i quotient =
      _mm512_srli_epi16(_mm512_mulhi_epu16(x, _mm512_set1_epi16(static_cast<int16_t>(34808))), 7);
  return _mm512_sub_epi16(x, _mm512_mullo_epi16(quotient, _mm512_set1_epi16(kModulus)));
}

// The bytes that make kLanes groups of a row.
using Row = __m512i;
TM_FN Row load_row(const void *bytes) { return _mm512_loadu_si512(bytes); }
TM_FN Row load_row_part(const void *bytes, int64_t count) {
  return _mm512_maskz_loadu_epi8(first_bytes(count), bytes);
}

// Bytes mod 241 as centred residues plus 128: x + 128 up to 120, x - 113 above.
TM_FN __m512i raised(__m512i x) {
  const __mmask64 over = _mm512_cmpgt_epu8_mask(x, _mm512_set1_epi8(kHalf));
  const __m512i up = _mm512_add_epi8(x, _mm512_set1_epi8(static_cast<int8_t>(128)));
  return _mm512_mask_sub_epi8(up, over, x, _mm512_set1_epi8(113));
}

TM_FN __m256i scaled_half(__m256i x, __m256i scale) {
  return _mm512_cvtepi16_epi8(
      modulo16(_mm512_mullo_epi16(_mm512_cvtepu8_epi16(x), _mm512_cvtepu8_epi16(scale))));
}

TM_FN Words left_groups(Residues, Row x) { return (Words)raised(x); }
TM_FN Words left_groups(Residues, Row x, Row scale) {
  const __m256i low = scaled_half(_mm512_castsi512_si256(x), _mm512_castsi512_si256(scale));
  const __m256i high =
      scaled_half(_mm512_extracti64x4_epi64(x, 1), _mm512_extracti64x4_epi64(scale, 1));
  return (Words)raised(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
}
TM_FN Words left_groups(Bytes, Row x) {
  return (Words)_mm512_xor_si512(x, _mm512_set1_epi8(static_cast<int8_t>(128)));
}

// 32 bytes as signed centred residues: x - 241 = x + 15 mod 256.
TM_FN __m256i right_bytes(Residues, __m256i x) {
  const __m256i over = _mm256_cmpeq_epi8(_mm256_max_epu8(x, _mm256_set1_epi8(kHalf + 1)), x);
  return _mm256_add_epi8(x, _mm256_and_si256(over, _mm256_set1_epi8(256 - kModulus)));
}
TM_FN __m256i right_bytes(Bytes, __m256i bytes) { return bytes; }

// Rows k .. k+3 of the right operand, of which `deep` are there, 32 columns of which `wide`.
template <typename Kind, typename Number>
TM_FN void right_groups(Kind kind, const Number *rows, int64_t stride, int64_t deep, int64_t wide,
                        Words out[2]) {
  __m256i row[4];
  for (int i = 0; i < 4; i++)
    row[i] = i < deep ? right_bytes(kind, _mm256_maskz_loadu_epi8(first_half(wide),
                                                                  rows + i * stride))
                      : _mm256_setzero_si256();
  const __m256i low01 = _mm256_unpacklo_epi8(row[0], row[1]);  // columns 0..7, 16..23
  const __m256i high01 = _mm256_unpackhi_epi8(row[0], row[1]);
  const __m256i low23 = _mm256_unpacklo_epi8(row[2], row[3]);
  const __m256i high23 = _mm256_unpackhi_epi8(row[2], row[3]);
  const __m256i quads[4] = {  // columns 4i .. 4i+3 and 16+4i .. 16+4i+3
      _mm256_unpacklo_epi16(low01, low23), _mm256_unpackhi_epi16(low01, low23),
      _mm256_unpacklo_epi16(high01, high23), _mm256_unpackhi_epi16(high01, high23)};
  __m128i *near = (__m128i *)out, *far = (__m128i *)(out + 1);
  for (int i = 0; i < 4; i++) {
    near[i] = _mm256_castsi256_si128(quads[i]);
    far[i] = _mm256_extracti128_si256(quads[i], 1);
  }
}

// Sixteen sums to sums congruent mod 241 that are positive and fit 16 bits: 2^16 = -16, 2^8 = 15.
TM_FN __m512i folded(__m512i sums) {
  const __m512i high = _mm512_srai_epi32(sums, 16);
  const __m512i low = _mm512_and_si512(sums, _mm512_set1_epi32(0xffff));
  const __m512i twenty = _mm512_sub_epi32(low, _mm512_slli_epi32(high, 4));
  const __m512i upper = _mm512_srai_epi32(twenty, 8);
  const __m512i lower = _mm512_add_epi32(_mm512_and_si512(twenty, _mm512_set1_epi32(0xff)),
                                         _mm512_set1_epi32(120 * kModulus));
  return _mm512_add_epi32(lower, _mm512_sub_epi32(_mm512_slli_epi32(upper, 4), upper));
}

// Thirty-two sums as canonical bytes.
TM_FN void store_residues(const Words sums[2], uint8_t bytes[32]) {
  const __m256i near = _mm512_cvtepi32_epi16(folded((__m512i)sums[0]));
  const __m256i far = _mm512_cvtepi32_epi16(folded((__m512i)sums[1]));
  const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(near), far, 1);
  _mm256_storeu_si256((__m256i *)bytes, _mm512_cvtepi16_epi8(modulo16(both)));
}

// Thirty-two bytes as words, times a factor.
TM_FN void outer(uint32_t factor, const uint8_t *row, int64_t wide, Words out[2]) {
  const __m256i bytes = _mm256_maskz_loadu_epi8(first_half(wide), row);
  out[0] = (Words)_mm512_cvtepu8_epi32(_mm256_castsi256_si128(bytes)) * factor;
  out[1] = (Words)_mm512_cvtepu8_epi32(_mm256_extracti128_si256(bytes, 1)) * factor;
}

// W8A8: groups of four bytes, left within -127..127 and raised by 128.
constexpr uint32_t kQuadOffset = 0x80808080u;

TM_FN Words dot_quads(Words sums, Words left, Words right) { return dot(sums, left, right); }

// The low bytes of sixteen words.
TM_FN void store_bytes(uint8_t *to, Words words) {
  _mm_storeu_si128((__m128i *)to, _mm512_cvtepi32_epi8((__m512i)words));
}

template <int bits>
TM_FN Words rotated(Words words) {
  return (Words)_mm512_rol_epi32((__m512i)words, bits);
}

// Word b of vector q goes to place 4 b + q of the words at `out`.
TM_FN void store_interleaved(const Words quads[4], uint8_t *out) {
  const __m512i *q = (const __m512i *)quads;
  const __m512i low01 = _mm512_unpacklo_epi32(q[0], q[1]);
  const __m512i low23 = _mm512_unpacklo_epi32(q[2], q[3]);
  const __m512i high01 = _mm512_unpackhi_epi32(q[0], q[1]);
  const __m512i high23 = _mm512_unpackhi_epi32(q[2], q[3]);
  const __m512i blocks[4] = {  // blocks[b], quarter c: place 4 c + b
      _mm512_unpacklo_epi64(low01, low23), _mm512_unpackhi_epi64(low01, low23),
      _mm512_unpacklo_epi64(high01, high23), _mm512_unpackhi_epi64(high01, high23)};
  for (int b = 0; b < 4; b++) {
    _mm_storeu_si128((__m128i *)(out + 16 * b), _mm512_castsi512_si128(blocks[b]));
    _mm_storeu_si128((__m128i *)(out + 16 * (b + 4)), _mm512_extracti32x4_epi32(blocks[b], 1));
    _mm_storeu_si128((__m128i *)(out + 16 * (b + 8)), _mm512_extracti32x4_epi32(blocks[b], 2));
    _mm_storeu_si128((__m128i *)(out + 16 * (b + 12)), _mm512_extracti32x4_epi32(blocks[b], 3));
  }
}

}  // namespace
}  // namespace tmk

#endif
