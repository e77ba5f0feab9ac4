// The AVX-512 instructions that the kernels use, lane by lane, for machines without them: included
// before a source that is compiled for AVX2. Slow; what it tests is the kernels, not the CPU.
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

namespace emulated {

template <typename T, typename V>
struct Lanes {
  static constexpr int kCount = sizeof(V) / sizeof(T);
  T at[kCount];
  Lanes() = default;
  explicit Lanes(V v) { memcpy(at, &v, sizeof v); }
  V vector() const {
    V v;
    memcpy(&v, at, sizeof v);
    return v;
  }
};

template <typename T, typename V, typename F>
inline V each(F f) {
  Lanes<T, V> out;
  for (int i = 0; i < Lanes<T, V>::kCount; i++) out.at[i] = static_cast<T>(f(i));
  return out.vector();
}

template <typename T, typename V>
inline T lane(V v, int i) {
  return Lanes<T, V>(v).at[i];
}

typedef __m512i I;
typedef __m512 F;

#define EACH(T, V, body) each<T, V>([&](int i) { return body; })
#define L(T, v, i) lane<T>(v, i)

inline F fma(F a, F b, F c) {
  return EACH(float, F, __builtin_fmaf(L(float, a, i), L(float, b, i), L(float, c, i)));
}
inline F larger(F a, F b) {
  return EACH(float, F, L(float, a, i) > L(float, b, i) ? L(float, a, i) : L(float, b, i));
}
inline F smaller(F a, F b) {
  return EACH(float, F, L(float, a, i) < L(float, b, i) ? L(float, a, i) : L(float, b, i));
}
inline F root(F a) { return EACH(float, F, __builtin_sqrtf(L(float, a, i))); }
inline F loadf(const void *p) {
  F v;
  memcpy(&v, p, sizeof v);
  return v;
}
inline I loadi(const void *p) {
  I v;
  memcpy(&v, p, sizeof v);
  return v;
}
template <typename V>
inline void put(void *p, V v) {
  memcpy(p, &v, sizeof v);
}
inline F some_floats(uint32_t mask, const float *p) {
  return EACH(float, F, mask >> i & 1 ? p[i] : 0.0f);
}
inline void put_some(float *p, uint32_t mask, F v) {
  for (int i = 0; i < 16; i++)
    if (mask >> i & 1) p[i] = L(float, v, i);
}
template <typename V>
inline V some_bytes(uint64_t mask, const void *p) {
  const uint8_t *bytes = static_cast<const uint8_t *>(p);
  return EACH(uint8_t, V, mask >> i & 1 ? bytes[i] : 0);
}
inline I dot(I c, I a, I b) {
  return EACH(int32_t, I, [&] {
    int32_t sum = L(int32_t, c, i);
    for (int j = 4 * i; j < 4 * i + 4; j++) sum += int{L(uint8_t, a, j)} * int{L(int8_t, b, j)};
    return sum;
  }());
}
inline uint64_t above(I a, I b) {
  uint64_t mask = 0;
  for (int i = 0; i < 64; i++) mask |= uint64_t{L(uint8_t, a, i) > L(uint8_t, b, i)} << i;
  return mask;
}
inline uint32_t nonzero(I a, I b) {
  uint32_t mask = 0;
  for (int i = 0; i < 16; i++) mask |= uint32_t{(L(uint32_t, a, i) & L(uint32_t, b, i)) != 0} << i;
  return mask;
}
inline F permuted(F a, I index, F b) {
  return EACH(float, F, [&] {
    const uint32_t n = L(uint32_t, index, i) & 31;
    return n < 16 ? L(float, a, n) : L(float, b, n - 16);
  }());
}
// Within each quarter of 4 words: two of a by the low half of the order, two of b by the high one.
inline F shuffled(F a, F b, int order) {
  return EACH(float, F, L(float, i % 4 < 2 ? a : b, i / 4 * 4 + (order >> 2 * (i % 4) & 3)));
}
// Whole quarters: two of a, two of b.
inline F shuffled_quarters(F a, F b, int order) {
  return EACH(float, F, L(float, i < 8 ? a : b, 4 * (order >> 2 * (i / 4) & 3) + i % 4));
}
template <typename T, typename V>
inline V interleaved(V a, V b, int half) {
  constexpr int kQuarter = 16 / sizeof(T);
  return EACH(T, V, L(T, i % 2 ? b : a,
                      i / kQuarter * kQuarter + half * kQuarter / 2 + i % kQuarter / 2));
}
inline I permuted_words(I index, I a) {
  return EACH(uint32_t, I, L(uint32_t, a, L(uint32_t, index, i) & 15));
}
// Within each quarter of 16 bytes; none of the orders has its highest bit set.
inline I shuffled_bytes(I a, I order) {
  return EACH(uint8_t, I, L(uint8_t, a, i / 16 * 16 + (L(uint8_t, order, i) & 15)));
}
// Each quarter: the numbers of a's, then those of b's, narrowed to what fits.
template <typename From, typename To>
inline I packed(I a, I b) {
  constexpr int kFew = 16 / sizeof(From);
  constexpr From kMost = sizeof(To) == 1 ? 255 : 32767, kLeast = sizeof(To) == 1 ? 0 : -32768;
  return EACH(To, I, [&] {
    const From x = L(From, i % (2 * kFew) < kFew ? a : b, i / (2 * kFew) * kFew + i % kFew);
    return x > kMost ? kMost : x < kLeast ? kLeast : x;
  }());
}
template <typename From, typename To, typename V, typename W>
inline W converted(V v) {
  return EACH(To, W, L(From, v, i));
}
template <typename W>
inline W part(I v, int number) {
  W out;
  memcpy(&out, reinterpret_cast<const char *>(&v) + number * sizeof out, sizeof out);
  return out;
}
inline I inserted(I v, __m256i half, int number) {
  memcpy(reinterpret_cast<char *>(&v) + 32 * number, &half, 32);
  return v;
}

#define TWO(name, T, body) \
  inline I name(I a, I b) { return EACH(T, I, body); }
TWO(add32, uint32_t, L(uint32_t, a, i) + L(uint32_t, b, i))
TWO(sub32, uint32_t, L(uint32_t, a, i) - L(uint32_t, b, i))
TWO(sub16, uint16_t, L(uint16_t, a, i) - L(uint16_t, b, i))
TWO(add8, uint8_t, L(uint8_t, a, i) + L(uint8_t, b, i))
TWO(both, uint64_t, L(uint64_t, a, i) & L(uint64_t, b, i))
TWO(either, uint64_t, L(uint64_t, a, i) ^ L(uint64_t, b, i))
TWO(wide, uint64_t, (L(uint64_t, a, i) & 0xffffffffu) * (L(uint64_t, b, i) & 0xffffffffu))
TWO(high16, uint16_t, uint32_t{L(uint16_t, a, i)} * L(uint16_t, b, i) >> 16)
TWO(low16, uint16_t, uint32_t{L(uint16_t, a, i)} * L(uint16_t, b, i))

#define SHIFT(name, T, body) \
  inline I name(I a, int by) { return EACH(T, I, body); }
SHIFT(left32, uint32_t, L(uint32_t, a, i) << by)
SHIFT(right32, int32_t, L(int32_t, a, i) >> by)
SHIFT(right16, uint16_t, L(uint16_t, a, i) >> by)
SHIFT(right64, uint64_t, L(uint64_t, a, i) >> by)
SHIFT(turned32, uint32_t, L(uint32_t, a, i) << by | L(uint32_t, a, i) >> (32 - by))

template <typename T, typename V>
inline V constant(T x) {
  return each<T, V>([=](int) { return x; });
}
inline I blended(uint32_t mask, I a, I b) {
  return EACH(uint32_t, I, mask >> i & 1 ? L(uint32_t, b, i) : L(uint32_t, a, i));
}
inline I some_less(I from, uint64_t mask, I a, I b) {
  return EACH(uint8_t, I, mask >> i & 1 ? L(uint8_t, a, i) - L(uint8_t, b, i) : L(uint8_t, from, i));
}

}  // namespace emulated

#define _mm512_add_epi32 emulated::add32
#define _mm512_sub_epi32 emulated::sub32
#define _mm512_sub_epi16 emulated::sub16
#define _mm512_add_epi8 emulated::add8
#define _mm512_and_si512 emulated::both
#define _mm512_xor_si512 emulated::either
#define _mm512_mul_epu32 emulated::wide
#define _mm512_mulhi_epu16 emulated::high16
#define _mm512_mullo_epi16 emulated::low16
#define _mm512_slli_epi32 emulated::left32
#define _mm512_srai_epi32 emulated::right32
#define _mm512_srli_epi16 emulated::right16
#define _mm512_srli_epi64 emulated::right64
#define _mm512_rol_epi32 emulated::turned32
#define _mm512_set1_epi8 emulated::constant<int8_t, __m512i>
#define _mm512_set1_epi16 emulated::constant<int16_t, __m512i>
#define _mm512_set1_epi32 emulated::constant<int32_t, __m512i>
#define _mm512_set1_epi64 emulated::constant<int64_t, __m512i>
#define _mm512_mask_blend_epi32 emulated::blended
#define _mm512_mask_sub_epi8 emulated::some_less
#define _mm512_set1_ps emulated::constant<float, __m512>
#define _mm512_fmadd_ps emulated::fma
#define _mm512_max_ps emulated::larger
#define _mm512_min_ps emulated::smaller
#define _mm512_sqrt_ps emulated::root
#define _mm512_loadu_ps emulated::loadf
#define _mm512_loadu_si512 emulated::loadi
#define _mm512_storeu_ps emulated::put
#define _mm512_storeu_si512 emulated::put
#define _mm512_maskz_loadu_ps emulated::some_floats
#define _mm512_mask_storeu_ps emulated::put_some
#define _mm512_maskz_loadu_epi8 emulated::some_bytes<__m512i>
#define _mm256_maskz_loadu_epi8 emulated::some_bytes<__m256i>
#define _mm512_dpbusd_epi32 emulated::dot
#define _mm512_cmpgt_epu8_mask emulated::above
#define _mm512_test_epi32_mask emulated::nonzero
#define _mm512_permutex2var_ps emulated::permuted
#define _mm512_permutexvar_epi32 emulated::permuted_words
#define _mm512_shuffle_epi8 emulated::shuffled_bytes
#define _mm512_packs_epi32 emulated::packed<int32_t, int16_t>
#define _mm512_packus_epi16 emulated::packed<int16_t, uint8_t>
#define _mm512_shuffle_ps emulated::shuffled
#define _mm512_shuffle_f32x4 emulated::shuffled_quarters
#define _mm512_unpacklo_ps(a, b) emulated::interleaved<float>(a, b, 0)
#define _mm512_unpackhi_ps(a, b) emulated::interleaved<float>(a, b, 1)
#define _mm512_unpacklo_epi32(a, b) emulated::interleaved<uint32_t>(a, b, 0)
#define _mm512_unpackhi_epi32(a, b) emulated::interleaved<uint32_t>(a, b, 1)
#define _mm512_unpacklo_epi64(a, b) emulated::interleaved<uint64_t>(a, b, 0)
#define _mm512_unpackhi_epi64(a, b) emulated::interleaved<uint64_t>(a, b, 1)
#define _mm512_cvtepi32_ps emulated::converted<int32_t, float, __m512i, __m512>
#define _mm512_cvtepi32_epi8 emulated::converted<int32_t, uint8_t, __m512i, __m128i>
#define _mm512_cvtepi32_epi16 emulated::converted<int32_t, uint16_t, __m512i, __m256i>
#define _mm512_cvtepi16_epi8 emulated::converted<int16_t, uint8_t, __m512i, __m256i>
#define _mm512_cvtepu8_epi16 emulated::converted<uint8_t, uint16_t, __m256i, __m512i>
#define _mm512_cvtepu8_epi32 emulated::converted<uint8_t, uint32_t, __m128i, __m512i>
#define _mm512_castsi512_si128(v) emulated::part<__m128i>(v, 0)
#define _mm512_castsi512_si256(v) emulated::part<__m256i>(v, 0)
#define _mm512_castsi256_si512(v) emulated::inserted(__m512i{}, v, 0)
#define _mm512_extracti32x4_epi32(v, n) emulated::part<__m128i>(v, n)
#define _mm512_extracti64x4_epi64(v, n) emulated::part<__m256i>(v, n)
#define _mm512_inserti64x4 emulated::inserted
