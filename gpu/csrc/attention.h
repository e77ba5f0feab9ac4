// What calls of attention must satisfy, and tokens put into the cache: one text for every instruction
// set.
#ifndef TM_ATTENTION_H
#define TM_ATTENTION_H

#include <string.h>

#include "checks.h"
#include "host/parallel.h"
#include "host/workspace.h"
#include "shapes/cache.h"

namespace {

inline bool valid(const tmk_cache &c) {
  return counts(c.sequences, c.heads) && counts(c.blocks, c.size) &&
         counts(c.sequences * c.heads, c.blocks * c.size) && c.keys && c.values;
}

inline bool valid(const tmk_append &c) {
  return valid(c.cache) && counts(c.tokens, c.cache.heads * c.cache.size) && c.keys && c.values &&
         c.positions;
}

inline bool valid(const tmk_attention &c) {
  const bool seen = c.causal ? c.positions != nullptr : c.lengths != nullptr;
  return valid(c.cache) && counts(c.rows, c.heads) && counts(c.rows * c.heads, c.cache.size) &&
         c.heads % c.cache.heads == 0 && c.queries && c.out && seen && c.window >= 0 &&
         (c.window == 0 || c.positions);
}

inline bool in_range(const tmk_append &c) {
  for (int64_t i = 0; i < c.tokens; i++)
    if (!has_place(c.cache, c.sequences, c.positions, i)) return false;
  return true;
}

inline bool in_range(const tmk_attention &c) {
  for (int64_t i = 0; i < c.rows; i++)
    if (!has_place(c.cache, c.sequences, c.positions, i) ||
        !has_bounds(c.cache, c.sequences, c.starts, c.lengths, i))
      return false;
  return true;
}

// Tokens from `token` on that go to neighbouring places of one block.
inline int64_t run_length(const tmk_append &c, int64_t token) {
  const int64_t sequence = sequence_of(c.sequences, token), position = c.positions[token];
  int64_t count = 1;
  while (token + count < c.tokens && position % kKeyBlock + count < kKeyBlock &&
         sequence_of(c.sequences, token + count) == sequence &&
         c.positions[token + count] == position + count)
    count++;
  return count;
}

inline void append_run(const tmk_append &c, int64_t token, int64_t count, int64_t head) {
  const CachedHead to(c.cache, sequence_of(c.sequences, token), head);
  const int64_t size = c.cache.size, step = c.cache.heads * size;
  const int64_t block = c.positions[token] / kKeyBlock, place = c.positions[token] % kKeyBlock;
  const float *from = c.keys + token * step + head * size;
  float *keys = to.keys_of(block) + place;
  for (int64_t d = 0; d < size; d++)
    for (int64_t j = 0; j < count; j++) keys[d * kKeyBlock + j] = from[j * step + d];
  from = c.values + token * step + head * size;
  float *values = to.values_of(block) + place * value_row(c.cache);
  for (int64_t j = 0; j < count; j++)
    memcpy(values + j * value_row(c.cache), from + j * step, size * sizeof *values);
}

// A head belongs to one thread, which takes the tokens in their order: of several that have the same
// place the last one stays.
inline int append_tokens(const tmk_append &c) {
  if (!valid(c)) return TMK_BAD_ARGUMENT;
  if (!in_range(c)) return TMK_BAD_PLACE;
  parallel(c.pool, c.cache.heads, [&](int64_t head, int) {
    for (int64_t token = 0, count; token < c.tokens; token += count) {
      count = run_length(c, token);
      append_run(c, token, count, head);
    }
  });
  return TMK_OK;
}

}  // namespace

#endif
