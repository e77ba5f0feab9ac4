// Attention of rows to cached keys. Per block of 64 keys, in ascending order of the keys a row sees:
// scores are chains of fma over the head's elements; powers are exp(score - the block's largest);
// their sum is a tree over the 64 places, halves added to halves, unseen keys being +0; values are
// chains of fma over the keys. Blocks fold into a superblock of 16, superblocks fold the same way;
// the first is copied. A block of which a row sees nothing is left out; a row that sees nothing at
// all is +0.
#include "../attention.h"
#include "../math/exponential.h"

namespace {

// What a run of keys adds to a row: the largest score, the sum of powers, the weighted values.
struct Part {
  bool there;
  float most, sum;
  float *values;
};

void fold(Part &whole, const Part &next, int64_t size) {
  const float most = tmk::larger(whole.most, next.most);
  const float before = tmk::exp(whole.most - most), after = tmk::exp(next.most - most);
  if (whole.there) {
    whole.sum = tmk::fma(whole.sum, before, next.sum * after);
    for (int64_t d = 0; d < size; d++)
      whole.values[d] = tmk::fma(whole.values[d], before, next.values[d] * after);
    whole.most = most;
  } else {
    whole = {true, next.most, next.sum, whole.values};
    for (int64_t d = 0; d < size; d++) whole.values[d] = next.values[d];
  }
}

float tree(const float powers[kKeyBlock]) {
  float sums[kKeyBlock];
  for (int64_t j = 0; j < kKeyBlock; j++) sums[j] = powers[j];
  for (int64_t half = kKeyBlock / 2; half >= 1; half /= 2)
    for (int64_t j = 0; j < half; j++) sums[j] = sums[j] + sums[j + half];
  return sums[0];
}

// One row and one head of it.
struct Row {
  const tmk_attention &c;
  const float *query;
  CachedHead head;
  Span seen;

  float score(int64_t block, int64_t j) const {
    const float *keys = head.keys_of(block) + j;
    float sum = 0.0f;
    for (int64_t d = 0; d < c.cache.size; d++)
      sum = tmk::fma(query[d] * c.scale, keys[d * kKeyBlock], sum);
    return sum;
  }

  void block_part(int64_t block, Part &part) const {
    const int64_t start = block * kKeyBlock;
    const int64_t first = seen.first > start ? seen.first - start : 0;
    const int64_t end = least(seen.end - start, kKeyBlock);
    float powers[kKeyBlock] = {0.0f};
    part.most = -tmk::infinity<float>();
    for (int64_t j = first; j < end; j++) {
      powers[j] = score(block, j);
      part.most = tmk::larger(powers[j], part.most);
    }
    for (int64_t j = first; j < end; j++) powers[j] = tmk::exp(powers[j] - part.most);
    part.sum = tree(powers);
    const float *values = head.values_of(block);
    for (int64_t d = 0; d < c.cache.size; d++) {
      float sum = 0.0f;
      for (int64_t j = first; j < end; j++)
        sum = tmk::fma(powers[j], values[j * value_row(c.cache) + d], sum);
      part.values[d] = sum;
    }
  }

  // `memory` holds the values of three parts.
  Part whole(float *memory) const {
    const int64_t size = c.cache.size;
    Part total{false, -tmk::infinity<float>(), 0.0f, memory};
    for (int64_t block = seen.first / kKeyBlock; block * kKeyBlock < seen.end;) {
      Part superblock{false, -tmk::infinity<float>(), 0.0f, memory + size};
      const int64_t next = (block / kSuperblock + 1) * kSuperblock;
      for (; block < next && block * kKeyBlock < seen.end; block++) {
        Part part{true, 0.0f, 0.0f, memory + 2 * size};
        block_part(block, part);
        fold(superblock, part, size);
      }
      fold(total, superblock, size);
    }
    return total;
  }
};

void attend(const tmk_attention &c, int64_t row, int64_t head, float *memory) {
  const int64_t place = row * c.heads + head, size = c.cache.size;
  const int64_t cached = head / (c.heads / c.cache.heads);
  const Row r{c, c.queries + place * size,
              CachedHead(c.cache, sequence_of(c.sequences, row), cached), seen_by(c, row)};
  Part whole{false, -tmk::infinity<float>(), 0.0f, memory};
  if (!r.seen.empty()) whole = r.whole(memory);
  const float factor = 1.0f / whole.sum;
  for (int64_t d = 0; d < size; d++)
    c.out[place * size + d] = whole.there ? tmk::canonical(whole.values[d] * factor) : 0.0f;
  if (!c.statistics) return;
  c.statistics[2 * place] = whole.most + 0.0f;
  c.statistics[2 * place + 1] = tmk::canonical(whole.sum);
}

}  // namespace

int tmk_baseline_append(const tmk_append *c) { return append_tokens(*c); }

uint64_t tmk_baseline_attention_workspace(const tmk_attention *call) {
  Workspace space;
  space.part<float>(3 * call->cache.size * threads_of(call->pool));
  return space.needed();
}

int tmk_baseline_attention(const tmk_attention *call) {
  const tmk_attention &c = *call;
  if (!valid(c)) return TMK_BAD_ARGUMENT;
  if (!in_range(c)) return TMK_BAD_PLACE;
  Workspace space(c.workspace);
  float *memory = space.part<float>(3 * c.cache.size * threads_of(c.pool));
  if (!space.held()) return TMK_SMALL_WORKSPACE;
  const FloatState state;
  parallel(c.pool, c.rows, [&](int64_t row, int worker) {
    for (int64_t head = 0; head < c.heads; head++)
      attend(c, row, head, memory + 3 * c.cache.size * worker);
  });
  return TMK_OK;
}
