// The cache of keys and values and what a row of attention sees of it: one text for every
// instruction set and for CUDA. Blocks of kKeyBlock keys lie on an absolute grid, from position 0 on.
#ifndef TM_SHAPES_CACHE_H
#define TM_SHAPES_CACHE_H

#include "../math/scalar.h"
#include "../tmkernels.h"

namespace {

constexpr int64_t kKeyBlock = 64;    // keys whose scores share a largest one
constexpr int64_t kSuperblock = 16;  // blocks that fold among themselves first
constexpr int64_t kValueUnit = 16;   // a value takes a multiple of this many floats

TM_FN int64_t value_row(const tmk_cache &c) {
  return (c.size + kValueUnit - 1) / kValueUnit * kValueUnit;
}

// One head of one sequence.
struct CachedHead {
  float *keys, *values;
  int64_t key_block, value_block;  // floats of a block

  TM_FN CachedHead(const tmk_cache &c, int64_t sequence, int64_t head)
      : key_block(c.size * kKeyBlock), value_block(value_row(c) * kKeyBlock) {
    const int64_t first = (sequence * c.heads + head) * c.blocks;
    keys = c.keys + first * key_block;
    values = c.values + first * value_block;
  }
  TM_FN float *keys_of(int64_t block) const { return keys + block * key_block; }
  TM_FN float *values_of(int64_t block) const { return values + block * value_block; }
};

TM_FN int64_t sequence_of(const int32_t *sequences, int64_t token) {
  return sequences ? sequences[token] : 0;
}

// The keys that a row sees: first .. end-1, none where that is empty.
struct Span {
  int64_t first, end;
  TM_FN bool empty() const { return first >= end; }
};

TM_FN Span seen_by(const tmk_attention &c, int64_t row) {
  const int64_t sequence = sequence_of(c.sequences, row);
  Span span{c.starts ? c.starts[sequence] : 0, c.cache.blocks * kKeyBlock};
  if (c.lengths && c.lengths[sequence] < span.end) span.end = c.lengths[sequence];
  if (c.causal && c.positions[row] < span.end) span.end = int64_t{c.positions[row]} + 1;
  if (c.window && span.first <= c.positions[row] - c.window)
    span.first = c.positions[row] - c.window + 1;
  return span;
}

TM_FN bool has_place(const tmk_cache &c, const int32_t *sequences, const int32_t *positions,
                     int64_t token) {
  const int64_t sequence = sequence_of(sequences, token);
  const bool there = sequence >= 0 && sequence < c.sequences;
  if (!positions) return there;
  return there && positions[token] >= 0 && positions[token] < c.blocks * kKeyBlock;
}

// Whether a row's sequence is there and has bounds that the cache has.
TM_FN bool has_bounds(const tmk_cache &c, const int32_t *sequences, const int32_t *starts,
                      const int32_t *lengths, int64_t row) {
  const int64_t sequence = sequence_of(sequences, row);
  if (starts && starts[sequence] < 0) return false;
  return !lengths || (lengths[sequence] >= 0 && lengths[sequence] <= c.blocks * kKeyBlock);
}

}  // namespace

#endif
