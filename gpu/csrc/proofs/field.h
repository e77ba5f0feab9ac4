// Arithmetic in E = F_241[x] / (x^16 - 7) as plain loops over 16 coefficients: every instruction set
// compiles this text, and the compiler turns the loops into vectors. All integers are exact:
// 65,536 products of two residues are at most 240 * 240 * 65,536 = 3,774,873,600 < 2^32.
//
// Everything is in an unnamed namespace, so that the linker cannot mix instruction sets.
#ifndef PROOFS_FIELD_H
#define PROOFS_FIELD_H

#include <stdint.h>
#include <string.h>

namespace {

constexpr int kModulus = 241;
constexpr int kDegree = 16;
constexpr int kNonResidue = 7;  // x^16 = 7

// Sums of products for each coefficient, not reduced.
struct alignas(64) Sums {
  uint32_t at[kDegree];
};

// Row i holds x^i * factor, so that an element times the factor is coefficients times rows.
struct Multiplier {
  Sums row[kDegree];

  explicit Multiplier(const uint8_t *factor) {
    for (int j = 0; j < kDegree; j++) row[0].at[j] = factor[j];
    for (int i = 1; i < kDegree; i++) {
      row[i].at[0] = kNonResidue * row[i - 1].at[kDegree - 1] % kModulus;
      for (int j = 1; j < kDegree; j++) row[i].at[j] = row[i - 1].at[j - 1];
    }
  }

  void add_product(const uint8_t *element, Sums &sums) const {
    for (int i = 0; i < kDegree; i++)
      for (int j = 0; j < kDegree; j++) sums.at[j] += element[i] * row[i].at[j];
  }
};

inline void reduce(const Sums &sums, uint8_t *out) {
  for (int j = 0; j < kDegree; j++) out[j] = static_cast<uint8_t>(sums.at[j] % kModulus);
}

inline void subtract(const uint8_t *a, const uint8_t *b, uint8_t *out) {
  for (int j = 0; j < kDegree; j++) {
    const int difference = a[j] - b[j];
    out[j] = static_cast<uint8_t>(difference < 0 ? difference + kModulus : difference);
  }
}

inline void scale(const uint8_t *table, int64_t rows, const uint8_t *factor, uint8_t *out) {
  const Multiplier times(factor);
  for (int64_t k = 0; k < rows * kDegree; k += kDegree) {
    Sums sums = {};
    times.add_product(table + k, sums);
    reduce(sums, out + k);
  }
}

// p(point) = c0 + point (c1 + point c2), c1 = claim - 2 c0 - c2.
inline void next_claim(const uint8_t *claim, const uint8_t *message, const uint8_t *point,
                       uint8_t *out) {
  const uint8_t *c0 = message, *c2 = message + kDegree;
  const Multiplier times(point);
  uint8_t c1[kDegree], slope[kDegree];
  subtract(claim, c0, c1);
  subtract(c1, c0, c1);
  subtract(c1, c2, c1);
  Sums sums;
  for (int j = 0; j < kDegree; j++) sums.at[j] = c1[j];
  times.add_product(c2, sums);
  reduce(sums, slope);
  for (int j = 0; j < kDegree; j++) sums.at[j] = c0[j];
  times.add_product(slope, sums);
  reduce(sums, out);
}

// Doubles the table once for each coordinate, from the back, in place.
inline void equality(const uint8_t *point, int64_t variables, uint8_t *out) {
  memset(out, 0, kDegree);
  out[0] = 1;
  for (int64_t v = 0; v < variables; v++) {
    const Multiplier times(point + v * kDegree);
    for (int64_t k = (int64_t{1} << v) - 1; k >= 0; k--) {
      uint8_t whole[kDegree], one[kDegree];
      memcpy(whole, out + k * kDegree, kDegree);
      Sums sums = {};
      times.add_product(whole, sums);
      reduce(sums, one);
      subtract(whole, one, out + 2 * k * kDegree);
      memcpy(out + (2 * k + 1) * kDegree, one, kDegree);
    }
  }
}

inline void weigh(const uint8_t *table, int64_t rows, const uint8_t *weights, uint8_t *out) {
  for (int64_t k = 0; k < rows; k++)
    for (int j = 0; j < kDegree; j++)
      out[k * kDegree + j] =
          static_cast<uint8_t>(unsigned{table[k * kDegree + j]} * weights[k] % kModulus);
}

inline void combine(const uint8_t *first, const uint8_t *a, const uint8_t *second,
                    const uint8_t *b, int64_t rows, uint8_t *out) {
  const Multiplier times_a(a), times_b(b);
  for (int64_t k = 0; k < rows * kDegree; k += kDegree) {
    Sums sums = {};
    times_a.add_product(first + k, sums);
    times_b.add_product(second + k, sums);
    reduce(sums, out + k);
  }
}

inline void evaluate(const uint8_t *vector, const uint8_t *table, int64_t rows, uint8_t *out) {
  Sums sums = {};
  for (int64_t k = 0; k < rows; k++)
    for (int j = 0; j < kDegree; j++)
      sums.at[j] += unsigned{vector[k]} * table[k * kDegree + j];
  reduce(sums, out);
}

// The sums over k of left[k]'s coefficient i times right[k]'s coefficient j, for all i and j.
class Products {
 public:
  void add(const uint8_t *left, const uint8_t *right, int64_t rows) {
    for (int i = 0; i < kDegree; i += kSlice) add_slice(left + i, right, rows, sums_ + i);
  }

  // Collects the products by degree and reduces by x^16 = 7.
  void element(uint8_t *out) const {
    uint32_t degree[2 * kDegree] = {};
    for (int i = 0; i < kDegree; i++)
      for (int j = 0; j < kDegree; j++) degree[i + j] += sums_[i].at[j] % kModulus;
    for (int j = 0; j < kDegree; j++)
      out[j] = static_cast<uint8_t>((degree[j] + kNonResidue * degree[j + kDegree]) % kModulus);
  }

 private:
  static constexpr int kSlice = 4;  // as many rows of sums as fit the registers

  static void add_slice(const uint8_t *left, const uint8_t *right, int64_t rows, Sums *sums) {
    Sums slice[kSlice];
    memcpy(slice, sums, sizeof slice);
    for (int64_t k = 0; k < rows * kDegree; k += kDegree)
#pragma GCC unroll 4
      for (int i = 0; i < kSlice; i++)
        for (int j = 0; j < kDegree; j++)
          slice[i].at[j] += unsigned{left[k + i]} * right[k + j];
    memcpy(sums, slice, sizeof slice);
  }

  Sums sums_[kDegree] = {};
};

inline void inner(const uint8_t *left, const uint8_t *right, int64_t rows, uint8_t *out) {
  Products products;
  products.add(left, right, rows);
  products.element(out);
}

constexpr int64_t kBlock = 64;  // rows whose differences are held at a time

inline void subtract_rows(const uint8_t *a, const uint8_t *b, int64_t rows, uint8_t *out) {
  for (int64_t k = 0; k < rows * kDegree; k += kDegree) subtract(a + k, b + k, out + k);
}

inline void round_message(const uint8_t *left, const uint8_t *right, int64_t half, uint8_t *out) {
  Products constant, square;
  uint8_t left_slopes[kBlock * kDegree], right_slopes[kBlock * kDegree];
  const int64_t to_high = half * kDegree;
  for (int64_t k = 0; k < half; k += kBlock) {
    const int64_t rows = half - k < kBlock ? half - k : kBlock;
    const uint8_t *l = left + k * kDegree, *r = right + k * kDegree;
    subtract_rows(l + to_high, l, rows, left_slopes);
    subtract_rows(r + to_high, r, rows, right_slopes);
    constant.add(l, r, rows);
    square.add(left_slopes, right_slopes, rows);
  }
  constant.element(out);
  square.element(out + kDegree);
}

inline void fold(const uint8_t *table, int64_t half, const uint8_t *challenge, uint8_t *out) {
  const Multiplier times(challenge);
  for (int64_t k = 0; k < half * kDegree; k += kDegree) {
    uint8_t slope[kDegree];
    subtract(table + half * kDegree + k, table + k, slope);
    Sums sums;
    for (int j = 0; j < kDegree; j++) sums.at[j] = table[k + j];
    times.add_product(slope, sums);
    reduce(sums, out + k);
  }
}

}  // namespace

#endif
