// Groups of AVX2: two neighbours as signed 16-bit numbers, for vpmaddwd. See baseline/groups.h for
// what the names mean.
#ifndef PROOFS_GROUPS_H
#define PROOFS_GROUPS_H

#include "integers.h"

namespace {
typedef uint8_t Bytes __attribute__((vector_size(32)));
}

#include "../../block.h"

namespace {

constexpr int kTogether = tmk::kTogether;
constexpr int kAtOnce = 4;
constexpr int kSlice = 4;

struct Sums {
  tmk::Words low, high;  // coefficients 0..7 and 8..15
};
using Right = Sums;

TM_FN Sums everywhere(int32_t start) {
  const tmk::Words words = tmk::broadcast(static_cast<uint32_t>(start));
  return {words, words};
}

TM_FN void dot(Sums &sums, uint32_t left, const Right &right) {
  const tmk::Words group = tmk::broadcast(left);
  sums.low = tmk::dot(sums.low, group, right.low);
  sums.high = tmk::dot(sums.high, group, right.high);
}

TM_FN __m128i row(const Block &rows, int k) { return ((const __m128i *)rows.part)[k]; }

TM_FN Block interleaved(const Block &rows) {
  Block out;
  for (int k = 0; k < kRows; k += 2)
    out.part[k / 2] = (Bytes)_mm256_set_m128i(_mm_unpackhi_epi8(row(rows, k), row(rows, k + 1)),
                                              _mm_unpacklo_epi8(row(rows, k), row(rows, k + 1)));
  return out;
}

TM_FN void left_groups(const Block &numbers, uint32_t *groups) {
  for (int k = 0; k < kRows; k++)
    _mm256_store_si256((__m256i *)groups + k, _mm256_cvtepu8_epi16(row(numbers, k)));
}

TM_FN void right_groups(const Block &numbers, Right *groups) {
  for (int k = 0; k < kRows; k += 2)
    groups[k / 2] = {(tmk::Words)_mm256_cvtepi8_epi16(row(numbers, k)),
                     (tmk::Words)_mm256_cvtepi8_epi16(row(numbers, k + 1))};
}

TM_FN __m256i folded_words(tmk::Words sums) {
  const __m256i low = _mm256_and_si256((__m256i)sums, _mm256_set1_epi32(kFold - 1));
  return _mm256_sub_epi32(low, _mm256_srai_epi32((__m256i)sums, kFoldBits));
}

// Sixteen-bit coefficients 0..3, 8..11, 4..7, 12..15.
TM_FN __m256i residues(const Sums &sums) {
  return tmk::modulo16(_mm256_packs_epi32(folded_words(sums.low), folded_words(sums.high)));
}

TM_FN Block reduced(const Sums *sums) {
  Block out;
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  for (int k = 0; k < kRows; k += 2) {
    const __m256i both = _mm256_packus_epi16(residues(sums[k]), residues(sums[k + 1]));
    out.part[k / 2] = (Bytes)_mm256_permutevar8x32_epi32(both, order);
  }
  return out;
}

}  // namespace

#endif
