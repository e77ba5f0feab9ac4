// Operands of the product as the inner loop reads them: signed 16-bit, two neighbours k, k+1 of the
// inner dimension side by side, since vpmaddwd multiplies and adds such pairs. (vpmaddubsw on bytes
// would be half the memory, but its 16-bit sums saturate: 2 * 240 * 120 > 32,767.)
//
// Everything outside the matrices is packed as zero, so the inner loop knows no ragged edge.
#ifndef AVX2_PACK_H
#define AVX2_PACK_H

#include "lanes.h"

namespace {

constexpr int64_t kTileRows = 6;      // 6 x 16 sums fill twelve registers
constexpr int64_t kTileColumns = 16;
constexpr int64_t kRun = 16;          // the packed inner dimension is a multiple of this

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

inline int64_t rounded_up(int64_t size, int64_t unit) { return (size + unit - 1) / unit * unit; }

// Sixteen bytes of which only the first `count` are there.
inline __m128i load16(const uint8_t *bytes, int64_t count) {
  if (count >= 16) return _mm_loadu_si128((const __m128i *)bytes);
  alignas(16) uint8_t padded[16] = {0};
  if (count > 0) memcpy(padded, bytes, count);
  return _mm_load_si128((const __m128i *)padded);
}

inline __m256i load32(const uint8_t *bytes, int64_t count) {
  if (count >= 32) return _mm256_loadu_si256((const __m256i *)bytes);
  return _mm256_set_m128i(load16(bytes + 16, count - 16), load16(bytes, count));
}

// Six rows of eight pairs, transposed: pair by pair, six rows each.
inline void store_transposed(const __m256i rows[kTileRows], int16_t *packed) {
  const __m256i low01 = _mm256_unpacklo_epi32(rows[0], rows[1]);
  const __m256i high01 = _mm256_unpackhi_epi32(rows[0], rows[1]);
  const __m256i low23 = _mm256_unpacklo_epi32(rows[2], rows[3]);
  const __m256i high23 = _mm256_unpackhi_epi32(rows[2], rows[3]);
  const __m256i low45 = _mm256_unpacklo_epi32(rows[4], rows[5]);
  const __m256i high45 = _mm256_unpackhi_epi32(rows[4], rows[5]);
  const __m256i four[4] = {
      _mm256_unpacklo_epi64(low01, low23), _mm256_unpackhi_epi64(low01, low23),
      _mm256_unpacklo_epi64(high01, high23), _mm256_unpackhi_epi64(high01, high23)};
  const __m256i two[4] = {low45, _mm256_unpackhi_epi64(low45, low45), high45,
                          _mm256_unpackhi_epi64(high45, high45)};
  for (int pair = 0; pair < 4; pair++) {  // the low halves hold pairs 0..3, the high ones 4..7
    int16_t *near = packed + 2 * kTileRows * pair, *far = near + 2 * kTileRows * 4;
    _mm_storeu_si128((__m128i *)near, _mm256_castsi256_si128(four[pair]));
    _mm_storel_epi64((__m128i *)(near + 8), _mm256_castsi256_si128(two[pair]));
    _mm_storeu_si128((__m128i *)far, _mm256_extracti128_si256(four[pair], 1));
    _mm_storel_epi64((__m128i *)(far + 8), _mm256_extracti128_si256(two[pair], 1));
  }
}

// Sixteen inner elements of six lines, centred after scaling; `load` reads them from an address.
template <bool kScaled, typename Load>
inline void pack_run(const uint8_t *const lines[kTileRows], const uint8_t *scale, int64_t k,
                     Load load, int16_t *packed) {
  __m256i rows[kTileRows];
  __m256i factors;
  if (kScaled) factors = _mm256_cvtepu8_epi16(load(scale + k));
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; r++) {
    rows[r] = _mm256_cvtepu8_epi16(load(lines[r] + k));
    if (kScaled) rows[r] = modulo16(_mm256_mullo_epi16(rows[r], factors));
    rows[r] = centred16(rows[r]);
  }
  store_transposed(rows, packed);
}

// Rows i .. i+5, inner elements [first, last): kTileRows * (last - first) packed values. Rows under
// the last one repeat it: their sums are never stored.
template <bool kScaled>
void pack_left_panel(const tmk_product &p, int64_t i, int64_t first, int64_t last,
                     int16_t *packed) {
  const uint8_t *lines[kTileRows], *const scale = p.scale;
  for (int64_t r = 0; r < kTileRows; r++)
    lines[r] = p.left + smaller(i + r, p.rows - 1) * p.left_stride;
  const auto whole = [](const uint8_t *bytes) { return _mm_loadu_si128((const __m128i *)bytes); };
  const int64_t stop = smaller(last, p.inner), left_over = stop % kRun;
  int64_t k = first;
  for (; k + kRun <= stop; k += kRun, packed += kTileRows * kRun)
    pack_run<kScaled>(lines, scale, k, whole, packed);
  const auto cut = [=](const uint8_t *bytes) { return load16(bytes, left_over); };
  if (k < stop) pack_run<kScaled>(lines, scale, k, cut, packed);
}

// Rows k, k+1 of the right operand, columns j .. j+31, as one pair of two neighbouring panels.
inline void pack_right_pair(const tmk_product &p, int64_t k, int64_t j, int16_t *panel,
                            int16_t *next_panel) {
  const uint8_t *row = p.right + k * p.right_stride + j;
  const int64_t there = p.columns - j;
  const __m256i zero = _mm256_setzero_si256();
  const __m256i even = k < p.inner ? centred8(load32(row, there)) : zero;
  const __m256i odd = k + 1 < p.inner ? centred8(load32(row + p.right_stride, there)) : zero;
  const __m256i low = _mm256_unpacklo_epi8(even, odd);    // columns 0..7, 16..23
  const __m256i high = _mm256_unpackhi_epi8(even, odd);   // columns 8..15, 24..31
  __m256i *out = (__m256i *)panel, *next = (__m256i *)next_panel;
  _mm256_store_si256(out, _mm256_cvtepi8_epi16(_mm256_castsi256_si128(low)));
  _mm256_store_si256(out + 1, _mm256_cvtepi8_epi16(_mm256_castsi256_si128(high)));
  _mm256_store_si256(next, _mm256_cvtepi8_epi16(_mm256_extracti128_si256(low, 1)));
  _mm256_store_si256(next + 1, _mm256_cvtepi8_epi16(_mm256_extracti128_si256(high, 1)));
}

// Inner elements [first, last) of columns [column, column + width), panel after panel of sixteen
// columns. Panels are made two at a time: there is room for an even number of them.
inline void pack_right(const tmk_product &p, int64_t first, int64_t last, int64_t column,
                       int64_t width, int16_t *packed) {
  const int64_t panel_size = (last - first) * kTileColumns;
  for (int64_t k = first; k < last; k += 2)
    for (int64_t j = 0; j < width; j += 2 * kTileColumns) {
      int16_t *panel = packed + j / kTileColumns * panel_size + (k - first) * kTileColumns;
      pack_right_pair(p, k, column + j, panel, panel + panel_size);
    }
}

}  // namespace

#endif
