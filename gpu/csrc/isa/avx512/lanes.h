// Vectors of AVX-512 (F, BW, DQ, VL): sixteen floats or 32-bit words. See math/scalar.h for what the
// names mean.
#ifndef TM_LANES_H
#define TM_LANES_H

#include <immintrin.h>
#include <string.h>

#include "../../math/scalar.h"

namespace tmk {
namespace {

typedef float Floats __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));
typedef uint32_t Words __attribute__((vector_size(64)));

constexpr int kLanes = 16;
constexpr int kTileRows = 14;  // 14 x 2 vectors of sums fill 28 of 32 registers

TM_FN Words to_bits(Floats x) { return (Words)x; }
TM_FN Floats from_bits(Words bits) { return (Floats)bits; }
TM_FN Floats fma(Floats a, Floats b, Floats c) {
  return (Floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
TM_FN Floats square_root(Floats x) { return (Floats)_mm512_sqrt_ps((__m512)x); }
TM_FN Floats choose(Ints mask, Floats yes, Floats no) { return mask ? yes : no; }
TM_FN Words choose(Ints mask, Words yes, Words no) { return mask ? yes : no; }
TM_FN Floats first_if_larger(Floats a, Floats b) {
  return (Floats)_mm512_max_ps((__m512)a, (__m512)b);
}
TM_FN Floats first_if_smaller(Floats a, Floats b) {
  return (Floats)_mm512_min_ps((__m512)a, (__m512)b);
}
TM_FN Floats to_float(Words words) { return (Floats)_mm512_cvtepi32_ps((__m512i)words); }
TM_FN Words shifted_right(Words words, int by) { return (Words)((Ints)words >> by); }

TM_FN Floats broadcast(float x) { return (Floats)_mm512_set1_ps(x); }
TM_FN Words broadcast(uint32_t x) { return (Words)_mm512_set1_epi32(static_cast<int>(x)); }
TM_FN Words counting() { return Words{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}; }
TM_FN Floats load(const float *from) { return (Floats)_mm512_loadu_ps(from); }
TM_FN Words load(const uint32_t *from) { return (Words)_mm512_loadu_si512(from); }
TM_FN void store(float *to, Floats x) { _mm512_storeu_ps(to, (__m512)x); }
TM_FN void store(uint32_t *to, Words x) { _mm512_storeu_si512(to, (__m512i)x); }

TM_FN __mmask16 first_lanes(int64_t count) {
  return static_cast<__mmask16>(count < kLanes ? (1u << count) - 1 : 0xffffu);
}
TM_FN Floats load_part(const float *from, int64_t count) {
  return (Floats)_mm512_maskz_loadu_ps(first_lanes(count), from);
}
TM_FN void store_part(float *to, Floats x, int64_t count) {
  _mm512_mask_storeu_ps(to, first_lanes(count), (__m512)x);
}

TM_FN bool any(Ints mask) { return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0; }

// a0+a1, a2+a3, ..., b0+b1, b2+b3, ...
TM_FN Floats neighbour_sums(Floats a, Floats b) {
  const Words even = counting() << 1, odd = even + 1u;
  return (Floats)_mm512_permutex2var_ps((__m512)a, (__m512i)even, (__m512)b) +
         (Floats)_mm512_permutex2var_ps((__m512)a, (__m512i)odd, (__m512)b);
}

// Lanes that are `distance` apart change places: 8, 4, 2 or 1.
TM_FN Floats exchanged(Floats x, int distance) {
  if (distance == 8) return (Floats)_mm512_shuffle_f32x4((__m512)x, (__m512)x, 0x4e);
  if (distance == 4) return (Floats)_mm512_shuffle_f32x4((__m512)x, (__m512)x, 0xb1);
  if (distance == 2) return (Floats)_mm512_shuffle_ps((__m512)x, (__m512)x, 0x4e);
  return (Floats)_mm512_shuffle_ps((__m512)x, (__m512)x, 0xb1);
}

// The high halves of the products of words.
TM_FN Words high_half(Words a, uint32_t b) {
  const __m512i factor = _mm512_set1_epi64(b);
  const __m512i even = _mm512_mul_epu32((__m512i)a, factor);
  const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64((__m512i)a, 32), factor);
  return (Words)_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
}

// bfloat16 in pairs: the first and the second of each pair as floats.
TM_FN Floats first_of_pairs(Words pairs) { return (Floats)(pairs << 16); }
TM_FN Floats second_of_pairs(Words pairs) { return (Floats)(pairs & 0xffff0000u); }

// Rows of kLanes 32-bit elements become columns: in each quarter 4 x 4 blocks, then the quarters.
TM_FN void transpose(Words rows[kLanes]) {
  __m512 *r = (__m512 *)rows;
  __m512 pairs[16], quads[16], halves[16];
  for (int i = 0; i < 8; i++) {
    pairs[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    pairs[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 4; i++) {
    quads[4 * i] = _mm512_shuffle_ps(pairs[4 * i], pairs[4 * i + 2], 0x44);
    quads[4 * i + 1] = _mm512_shuffle_ps(pairs[4 * i], pairs[4 * i + 2], 0xee);
    quads[4 * i + 2] = _mm512_shuffle_ps(pairs[4 * i + 1], pairs[4 * i + 3], 0x44);
    quads[4 * i + 3] = _mm512_shuffle_ps(pairs[4 * i + 1], pairs[4 * i + 3], 0xee);
  }
  for (int i = 0; i < 4; i++) {  // quads[4 b + c], quarter q: column 4 q + c of rows 4 b .. 4 b + 3
    halves[i] = _mm512_shuffle_f32x4(quads[i], quads[i + 4], 0x88);
    halves[i + 4] = _mm512_shuffle_f32x4(quads[i], quads[i + 4], 0xdd);
    halves[i + 8] = _mm512_shuffle_f32x4(quads[i + 8], quads[i + 12], 0x88);
    halves[i + 12] = _mm512_shuffle_f32x4(quads[i + 8], quads[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    r[i] = _mm512_shuffle_f32x4(halves[i], halves[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_f32x4(halves[i], halves[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_f32x4(halves[i + 4], halves[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_f32x4(halves[i + 4], halves[i + 12], 0xdd);
  }
}

}  // namespace
}  // namespace tmk

#include "../vectors.h"

#endif
