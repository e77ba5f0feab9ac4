// Sums of words: what a kernel that reads memory once is measured against. Four places of a piece are
// read in turn, since several streams come faster than one; the compiler makes vectors of it.
#ifndef TM_READING_H
#define TM_READING_H

#include "checks.h"
#include "host/parallel.h"

namespace {

constexpr int64_t kStreams = 4;
constexpr int64_t kWordsAtOnce = 32;  // of a stream

inline uint32_t sum_of_words(const uint32_t *words, int64_t count) {
  uint32_t sums[kWordsAtOnce] = {0};
  const int64_t length = count / kStreams / kWordsAtOnce * kWordsAtOnce;
  for (int64_t i = 0; i < length; i += kWordsAtOnce)
    for (int64_t stream = 0; stream < kStreams; stream++)
      for (int64_t j = 0; j < kWordsAtOnce; j++) sums[j] += words[stream * length + i + j];
  uint32_t total = 0;
  for (int64_t j = 0; j < kWordsAtOnce; j++) total += sums[j];
  for (int64_t i = kStreams * length; i < count; i++) total += words[i];
  return total;
}

inline int read_words(const tmk_reading &c) {
  if (!counts(c.count) || !c.words || !c.sums) return TMK_BAD_ARGUMENT;
  parallel_ranges(c.pool, c.count, TMK_PIECE, [&](int64_t first, int64_t last, int) {
    c.sums[first / TMK_PIECE] = sum_of_words(c.words + first, last - first);
  });
  return TMK_OK;
}

}  // namespace

#endif
