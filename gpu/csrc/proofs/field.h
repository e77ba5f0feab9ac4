// Arithmetic in E = F_241[x] / (x^16 - 7), one text for every instruction set, whose groups.h says
// how many neighbours one multiplication takes. All integers are exact: the left factor is a residue
// 0..240, the right one centred, -120..120, so that 16 products stay within ±460,800, two elements'
// within ±921,600 < 2^20, and 65,536 within ±1,887,436,800 > -2^31 and < 2^31.
//
// Everything is in an unnamed namespace, so that the linker cannot mix instruction sets.
#ifndef PROOFS_FIELD_H
#define PROOFS_FIELD_H

#include "groups.h"

namespace {

constexpr int kGroups = kDegree / kTogether;   // of an element
constexpr int kRuns = kRows / kTogether;       // of a block: kTogether rows each
constexpr int kLeft = kBytes / kTogether;      // groups of a block

// Of the products of four elements.
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
    __asm__("" : "+m"(left));  // kept in memory: a broadcast from there takes no shuffle
    for (int first = 0; first < kRows; first += kAtOnce)
#pragma GCC unroll 1
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

// Blocks of both sides of an inner product, laid out for the sums over their rows.
struct Stage {
  static constexpr int kBlocks = 16;

  void set(int block, const Block &left_rows, const Block &right_rows) {
    left_groups(interleaved(left_rows), left[block]);
    right_groups(interleaved(centred(right_rows)), right[block]);
  }

  alignas(kBytes) uint32_t left[kBlocks][kLeft];
  Right right[kBlocks][kRuns];
};

// The sums over k of left[k]'s coefficient i times right[k]'s coefficient j, for all i and j.
class Products {
 public:
  void add(const Stage &stage, int blocks) {
    for (int i = 0; i < kDegree; i += kSlice) add_slice(stage, blocks, i);
  }

  // Collects the products by degree and reduces by x^16 = 7: what is folded once is less than
  // 2^19 + 2^12, and 16 of it and 7 * 16 more less than 2^27.
  void element(uint8_t *out) const {
    int32_t degree[2 * kDegree] = {};
    for (int i = 0; i < kDegree; i++) {
      int32_t row[kDegree];
      memcpy(row, sums_ + i, sizeof row);
      for (int j = 0; j < kDegree; j++) degree[i + j] += folded(row[j]);
    }
    for (int j = 0; j < kDegree; j++)
      out[j] = residue(degree[j] + kNonResidue * degree[j + kDegree]);
  }

 private:
  void add_slice(const Stage &stage, int blocks, int first) {
    Sums slice[kSlice];
    memcpy(slice, sums_ + first, sizeof slice);
    for (int b = 0; b < blocks; b++)
#pragma GCC unroll 4
      for (int r = 0; r < kRuns; r++)
#pragma GCC unroll 16
        for (int i = 0; i < kSlice; i++)
          dot(slice[i], stage.left[b][r * kDegree + first + i], stage.right[b][r]);
    memcpy(sums_ + first, slice, sizeof slice);
  }

  Sums sums_[kDegree] = {};
};

// set(block, offset, bytes) for each block of so many rows, then add(blocks) whenever a stage is full
// and at the end.
template <typename Set, typename Add>
void in_stages(int64_t rows, Set set, Add add) {
  int blocks = 0;
  for (int64_t k = 0, all = rows * kDegree; k < all; k += kBytes) {
    set(blocks++, k, all - k);
    if (blocks < Stage::kBlocks && k + kBytes < all) continue;
    add(blocks);
    blocks = 0;
  }
}

inline void inner(const uint8_t *left, const uint8_t *right, int64_t rows, uint8_t *out) {
  Products products;
  Stage stage;
  in_stages(
      rows,
      [&](int block, int64_t k, int64_t bytes) {
        stage.set(block, load(left + k, bytes), load(right + k, bytes));
      },
      [&](int blocks) { products.add(stage, blocks); });
  products.element(out);
}

// The products of the lower halves, and of the differences of the halves.
class Message {
 public:
  void add(const uint8_t *left, const uint8_t *right, int64_t half) {
    const uint8_t *high_left = left + half * kDegree, *high_right = right + half * kDegree;
    Stage low, slopes;
    in_stages(
        half,
        [&](int block, int64_t k, int64_t bytes) {
          const Block l = load(left + k, bytes), r = load(right + k, bytes);
          low.set(block, l, r);
          slopes.set(block, difference(load(high_left + k, bytes), l),
                     difference(load(high_right + k, bytes), r));
        },
        [&](int blocks) {
          constant_.add(low, blocks);
          square_.add(slopes, blocks);
        });
  }

  void elements(uint8_t *out) const {
    constant_.element(out);
    square_.element(out + kDegree);
  }

 private:
  Products constant_, square_;
};

inline void message(const uint8_t *const *tables, int64_t pairs, int64_t rows, uint8_t *out) {
  Message message;
  for (int64_t t = 0; t < 2 * pairs; t += 2) message.add(tables[t], tables[t + 1], rows / 2);
  message.elements(out);
}

// The line through both halves of a table, at the challenge.
inline void fold(const uint8_t *table, int64_t half, const Multiplier &challenge, uint8_t *out) {
  for (int64_t k = 0, all = half * kDegree; k < all; k += kBytes) {
    const Block low = load(table + k, all - k), high = load(table + all + k, all - k);
    store(sum(low, challenge.times(difference(high, low))), out + k, all - k);
  }
}

inline void bind(const uint8_t *const *tables, int64_t pairs, int64_t rows,
                 const uint8_t *challenge, uint8_t *const *out, uint8_t *next) {
  const Multiplier by(challenge);
  for (int64_t t = 0; t < 2 * pairs; t++) fold(tables[t], rows / 2, by, out[t]);
  message(out, pairs, rows / 2, next);
}

}  // namespace

#endif
