// Sums of products of the rows of two tables, and the sum check that is made of them.
//
// Everything is in an unnamed namespace, so that the linker cannot mix instruction sets.
#ifndef PROOFS_PRODUCTS_H
#define PROOFS_PRODUCTS_H

#include "field.h"

namespace {

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
