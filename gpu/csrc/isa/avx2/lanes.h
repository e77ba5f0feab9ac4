// Vectors of AVX2 with FMA: eight floats or 32-bit words. See math/scalar.h for what the names mean.
#ifndef TM_LANES_H
#define TM_LANES_H

#include <immintrin.h>
#include <string.h>

#include "../../math/scalar.h"

namespace tmk {
namespace {

typedef float Floats __attribute__((vector_size(32)));
typedef int32_t Ints __attribute__((vector_size(32)));
typedef uint32_t Words __attribute__((vector_size(32)));

constexpr int kLanes = 8;
constexpr int kTileRows = 6;  // 6 x 2 vectors of sums fill twelve of sixteen registers

TM_FN Words to_bits(Floats x) { return (Words)x; }
TM_FN Floats from_bits(Words bits) { return (Floats)bits; }
TM_FN Floats fma(Floats a, Floats b, Floats c) {
  return (Floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
TM_FN Floats square_root(Floats x) { return (Floats)_mm256_sqrt_ps((__m256)x); }
TM_FN Floats choose(Ints mask, Floats yes, Floats no) {
  return (Floats)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)mask);
}
TM_FN Words choose(Ints mask, Words yes, Words no) {
  return (Words)_mm256_blendv_epi8((__m256i)no, (__m256i)yes, (__m256i)mask);
}
TM_FN Floats first_if_larger(Floats a, Floats b) {
  return (Floats)_mm256_max_ps((__m256)a, (__m256)b);
}
TM_FN Floats first_if_smaller(Floats a, Floats b) {
  return (Floats)_mm256_min_ps((__m256)a, (__m256)b);
}
TM_FN Floats to_float(Words words) { return (Floats)_mm256_cvtepi32_ps((__m256i)words); }
TM_FN Words shifted_right(Words words, int by) {
  return (Words)_mm256_srai_epi32((__m256i)words, by);
}

TM_FN Floats broadcast(float x) { return (Floats)_mm256_set1_ps(x); }
TM_FN Words broadcast(uint32_t x) { return (Words)_mm256_set1_epi32(static_cast<int>(x)); }
TM_FN Words counting() { return Words{0, 1, 2, 3, 4, 5, 6, 7}; }
TM_FN Floats load(const float *from) { return (Floats)_mm256_loadu_ps(from); }
TM_FN Words load(const uint32_t *from) { return (Words)_mm256_loadu_si256((const __m256i *)from); }
TM_FN void store(float *to, Floats x) { _mm256_storeu_ps(to, (__m256)x); }
TM_FN void store(uint32_t *to, Words x) { _mm256_storeu_si256((__m256i *)to, (__m256i)x); }

// Lanes 0 .. count-1 set.
TM_FN Ints first_lanes(int64_t count) {
  const int whole = count < kLanes ? static_cast<int>(count) : kLanes;
  return (Ints)counting() < (Ints{} + whole);
}
TM_FN Floats load_part(const float *from, int64_t count) {
  return (Floats)_mm256_maskload_ps(from, (__m256i)first_lanes(count));
}
TM_FN void store_part(float *to, Floats x, int64_t count) {
  _mm256_maskstore_ps(to, (__m256i)first_lanes(count), (__m256)x);
}

TM_FN bool any(Ints mask) { return _mm256_movemask_ps((__m256)mask) != 0; }

// a0+a1, a2+a3, ..., b0+b1, b2+b3, ...
TM_FN Floats neighbour_sums(Floats a, Floats b) {
  const __m256 sums = _mm256_hadd_ps((__m256)a, (__m256)b);
  return (Floats)_mm256_permute4x64_pd((__m256d)sums, 0xd8);
}

// Lanes that are `distance` apart change places: 4, 2 or 1.
TM_FN Floats exchanged(Floats x, int distance) {
  if (distance == 4) return (Floats)_mm256_permute2f128_ps((__m256)x, (__m256)x, 0x01);
  if (distance == 2) return (Floats)_mm256_shuffle_ps((__m256)x, (__m256)x, 0x4e);
  return (Floats)_mm256_shuffle_ps((__m256)x, (__m256)x, 0xb1);
}

// The high halves of the products of words.
TM_FN Words high_half(Words a, uint32_t b) {
  const __m256i factor = _mm256_set1_epi64x(b);
  const __m256i even = _mm256_mul_epu32((__m256i)a, factor);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64((__m256i)a, 32), factor);
  return (Words)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
}

// bfloat16 in pairs: the first and the second of each pair as floats.
TM_FN Floats first_of_pairs(Words pairs) { return (Floats)(pairs << 16); }
TM_FN Floats second_of_pairs(Words pairs) { return (Floats)(pairs & 0xffff0000u); }

// Rows of kLanes 32-bit elements become columns.
TM_FN void transpose(Words rows[kLanes]) {
  __m256 *r = (__m256 *)rows;
  __m256 pairs[8], quads[8];
  for (int i = 0; i < 4; i++) {
    pairs[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    pairs[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 2; i++) {
    quads[4 * i] = _mm256_shuffle_ps(pairs[4 * i], pairs[4 * i + 2], 0x44);
    quads[4 * i + 1] = _mm256_shuffle_ps(pairs[4 * i], pairs[4 * i + 2], 0xee);
    quads[4 * i + 2] = _mm256_shuffle_ps(pairs[4 * i + 1], pairs[4 * i + 3], 0x44);
    quads[4 * i + 3] = _mm256_shuffle_ps(pairs[4 * i + 1], pairs[4 * i + 3], 0xee);
  }
  for (int i = 0; i < 4; i++) {
    r[i] = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x20);
    r[i + 4] = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x31);
  }
}

}  // namespace
}  // namespace tmk

#include "../vectors.h"

#endif
