// Groups of AVX-512 VNNI: four neighbours, for vpdpbusd: unsigned bytes on the left, signed bytes on
// the right. See baseline/groups.h for what the names mean.
#ifndef PROOFS_GROUPS_H
#define PROOFS_GROUPS_H

#include "integers.h"

namespace {
typedef uint8_t Bytes __attribute__((vector_size(64)));
}

#include "../../block.h"

namespace {

constexpr int kTogether = tmk::kTogether;
constexpr int kAtOnce = 4;
constexpr int kSlice = 16;

using Sums = tmk::Words;
using Right = tmk::Words;

TM_FN Sums everywhere(int32_t start) { return tmk::broadcast(static_cast<uint32_t>(start)); }

TM_FN void dot(Sums &sums, uint32_t left, const Right &right) {
  sums = tmk::dot(sums, tmk::broadcast(left), right);
}

// Word 4 i + j goes to 4 j + i.
TM_FN __m512i transposed(__m512i words) {
  const tmk::Words order{0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
  return _mm512_permutexvar_epi32((__m512i)order, words);
}

// After the words, the same of the bytes of each quarter.
TM_FN Block interleaved(const Block &rows) {
  constexpr uint32_t k0 = 0x0c080400u, k1 = 0x0d090501u, k2 = 0x0e0a0602u, k3 = 0x0f0b0703u;
  const tmk::Words order{k0, k1, k2, k3, k0, k1, k2, k3, k0, k1, k2, k3, k0, k1, k2, k3};
  return {(Bytes)_mm512_shuffle_epi8(transposed((__m512i)rows.part[0]), (__m512i)order)};
}

TM_FN void left_groups(const Block &numbers, uint32_t *groups) {
  memcpy(groups, numbers.part, kBytes);
}

TM_FN void right_groups(const Block &numbers, Right *groups) {
  *groups = (Right)numbers.part[0];
}

TM_FN __m512i folded_words(tmk::Words sums) {
  const __m512i low = _mm512_and_si512((__m512i)sums, _mm512_set1_epi32(kFold - 1));
  return _mm512_sub_epi32(low, _mm512_srai_epi32((__m512i)sums, kFoldBits));
}

// Sixteen-bit coefficients, four of `a` and four of `b` in turn.
TM_FN __m512i residues(const Sums &a, const Sums &b) {
  return tmk::modulo16(_mm512_packs_epi32(folded_words(a), folded_words(b)));
}

TM_FN Block reduced(const Sums *sums) {
  const __m512i fours =
      _mm512_packus_epi16(residues(sums[0], sums[1]), residues(sums[2], sums[3]));
  return {(Bytes)transposed(fours)};
}

}  // namespace

#endif
