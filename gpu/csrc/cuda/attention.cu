// Attention in the order B64: reference/attention.cpp is the definition. A block makes a tile of
// lines, which are heads of rows that share a cached one; a thread is a key of a block when scores are
// made, and a dimension (or two) when values are. Lines of several sequences take turns.
#include "cuda/attention_tile.h"

template <int kLines>
TM_FN void attend(const tmk_attending &call, tmk::AttentionStage<kLines> &stage, bool parts) {
  const tmk_attention &c = call.attention;
  tmk::AttentionTile<kLines> tile(c, stage);
  const int64_t only = parts ? int64_t{blockIdx.z} : -1;
  for (int first = 0, last; first < kLines && stage.line[first].there; first = last) {
    last = first + 1;
    while (last < kLines && stage.line[last].there &&
           stage.line[last].sequence == stage.line[first].sequence)
      last++;
    tile.add_keys(first, last, only);
  }
  if (parts)
    tile.store_parts(call.parts + blockIdx.z * (c.rows * c.heads * (c.cache.size + 2)));
  else
    tile.store();
}

TM_KERNEL(attention_many, tmk::kAttentionThreads, tmk_attending) {
  __shared__ tmk::AttentionStage<tmk::kManyLines> stage;
  attend(call, stage, false);
}

TM_KERNEL(attention_few, tmk::kAttentionThreads, tmk_attending) {
  __shared__ tmk::AttentionStage<tmk::kFewLines> stage;
  attend(call, stage, false);
}

// A superblock to each blockIdx.z, so that a few rows keep a whole device busy.
TM_KERNEL(attention_parts, tmk::kAttentionThreads, tmk_attending) {
  __shared__ tmk::AttentionStage<tmk::kFewLines> stage;
  attend(call, stage, true);
}

// Folds the superblocks: a thread to each number of the result.
TM_KERNEL(attention_fold, tmk::kAttentionThreads, tmk_attending) {
  const tmk_attention &c = call.attention;
  const int64_t place = int64_t{blockIdx.x} * tmk::kAttentionThreads + threadIdx.x;
  const int64_t d = place % c.cache.size, line = place / c.cache.size, row = line / c.heads;
  if (row >= c.rows) return;
  const Span seen = seen_by(c, row);
  const int64_t of_all = c.rows * c.heads * (c.cache.size + 2);
  tmk::Fold fold = {};
  float value = 0.0f;
  for (int64_t s = seen.first / tmk::kSuperblockKeys;
       !seen.empty() && s * tmk::kSuperblockKeys < seen.end; s++) {
    const float *part = call.parts + s * of_all + line * (c.cache.size + 2);
    fold.add(part[0], part[1]);
    value = fold.folded(value, part[2 + d]);
  }
  c.out[place] = fold.result(value);
  if (d == 0 && c.statistics) fold.store(c.statistics + 2 * line);
}
