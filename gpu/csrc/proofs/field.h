// Arithmetic in E = F_241[x] / (x^16 - 7), one text for every instruction set, whose groups.h says
// how many neighbours one multiplication takes. All integers are exact: the left factor is a residue
// 0..240, the right one centred, -120..120, so that the 16 products of an element stay within
// ±460,800, those of two within ±921,600, and 65,536 products within ±1,887,436,800, less than 2^31.
//
// Everything is in an unnamed namespace, so that the linker cannot mix instruction sets.
#ifndef PROOFS_FIELD_H
#define PROOFS_FIELD_H

#include "groups.h"

namespace {

constexpr int kGroups = kDegree / kTogether;  // of an element
constexpr int kRuns = kRows / kTogether;      // of a block: kTogether rows each
constexpr int kLeft = kBytes / kTogether;     // groups of a block

// What the products of four elements are added to.
struct Totals {
  Totals() {
    for (Sums &sums : row) sums = everywhere(kStart);
  }

  Sums row[kRows];
};

// Row i holds x^i * factor, so that an element times the factor is coefficients times rows.
class Multiplier {
 public:
  explicit Multiplier(const uint8_t *factor) {
    uint8_t wrapped[2 * kDegree];  // 7 factor and factor: row i begins i before the second half
    for (int j = 0; j < kDegree; j++) {
      wrapped[j] = narrow(kNonResidue * factor[j]);
      wrapped[kDegree + j] = factor[j];
    }
    for (int i = 0; i < kDegree; i += kRows) {
      Block rows;
      for (int r = 0; r < kRows; r++)
        memcpy(rows.bytes() + r * kDegree, wrapped + kDegree - i - r, kDegree);
      right_groups(interleaved(centred(rows)), row_ + i / kTogether);
    }
  }

  void add_products(const Block &elements, Sums *sums) const {
    alignas(kBytes) uint32_t left[kLeft];
    left_groups(elements, left);
    for (int first = 0; first < kRows; first += kAtOnce)
#pragma GCC unroll 1  // else all products come before all sums, and leave the registers
      for (int g = 0; g < kGroups; g++)
#pragma GCC unroll 4
        for (int r = first; r < first + kAtOnce; r++)
          dot(sums[r], left[r * kGroups + g], row_[g]);
  }

  Block times(const Block &elements) const {
    Totals sums;
    add_products(elements, sums.row);
    return reduced(sums.row);
  }

 private:
  Right row_[kGroups];
};

inline void scale(const uint8_t *table, int64_t rows, const uint8_t *factor, uint8_t *out) {
  const Multiplier by(factor);
  for (int64_t k = 0; k < rows * kDegree; k += kBytes)
    store(by.times(load(table + k, rows * kDegree - k)), out + k, rows * kDegree - k);
}

// p(point) = c0 + point (c1 + point c2), c1 = claim - 2 c0 - c2.
inline void next_claim(const uint8_t *claim, const uint8_t *message, const uint8_t *point,
                       uint8_t *out) {
  const Multiplier by(point);
  const Block c0 = load(message, kDegree), c2 = load(message + kDegree, kDegree);
  const Block c1 = difference(difference(difference(load(claim, kDegree), c0), c0), c2);
  store(sum(c0, by.times(sum(c1, by.times(c2)))), out, kDegree);
}

// Doubles the table once for each coordinate, from the last, which belongs to the lowest bit.
inline void equality(const uint8_t *point, int64_t variables, uint8_t *out) {
  memset(out, 0, kDegree);
  out[0] = 1;
  int64_t bytes = kDegree;
  for (int64_t v = variables - 1; v >= 0; v--, bytes *= 2) {
    const Multiplier by(point + v * kDegree);
    for (int64_t k = 0; k < bytes; k += kBytes) {
      const Block whole = load(out + k, bytes - k), one = by.times(whole);
      store(difference(whole, one), out + k, bytes - k);
      store(one, out + bytes + k, bytes - k);
    }
  }
}

inline void weigh(const uint8_t *table, int64_t rows, const uint8_t *weights, uint8_t *out) {
  for (int64_t k = 0; k < rows; k++)
    for (int j = 0; j < kDegree; j++)
      out[k * kDegree + j] = narrow(static_cast<uint16_t>(table[k * kDegree + j] * weights[k]));
}

inline void combine(const uint8_t *first, const uint8_t *a, const uint8_t *second,
                    const uint8_t *b, int64_t rows, uint8_t *out) {
  const Multiplier by_a(a), by_b(b);
  for (int64_t k = 0; k < rows * kDegree; k += kBytes) {
    const int64_t bytes = rows * kDegree - k;
    Totals sums;
    by_a.add_products(load(first + k, bytes), sums.row);
    by_b.add_products(load(second + k, bytes), sums.row);
    store(reduced(sums.row), out + k, bytes);
  }
}

// Of any sum: folded twice it is within -129..4223.
inline uint8_t residue(int32_t sum) {
  return narrow(static_cast<uint16_t>(folded(folded(sum)) + kModulus));
}

inline void evaluate(const uint8_t *vector, const uint8_t *table, int64_t rows, uint8_t *out) {
  Sums sums = {};
  for (int64_t k = 0; k < rows; k += kBytes) {
    alignas(kBytes) uint32_t left[kLeft];
    left_groups(load(vector + k, rows - k), left);
    const int64_t last = rows - k < kBytes ? rows - k : kBytes;
    for (int64_t b = 0; b < last; b += kRows) {
      Right right[kRuns];
      const int64_t bytes = (last - b) * kDegree;
      right_groups(interleaved(centred(load(table + (k + b) * kDegree, bytes))), right);
      for (int r = 0; r < kRuns; r++) dot(sums, left[b / kTogether + r], right[r]);
    }
  }
  int32_t whole[kDegree];
  memcpy(whole, &sums, sizeof whole);
  for (int j = 0; j < kDegree; j++) out[j] = residue(whole[j]);
}

}  // namespace

#endif
