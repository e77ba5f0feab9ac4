// What a block of threads does in attention; attention.cu says how it is used.
#ifndef TM_CUDA_ATTENTION_TILE_H
#define TM_CUDA_ATTENTION_TILE_H

#include "../math/exponential.h"
#include "../shapes/cache.h"
#include "calls.h"
#include "device.h"

namespace tmk {
namespace {

constexpr int kAttentionThreads = 256, kKeys = kKeyBlock;
constexpr int kTeams = kAttentionThreads / kKeys;  // threads of a team have the same lines
constexpr int kTurns = 2, kSlice = kKeys * kTurns;  // dimensions that a block makes
constexpr int kManyLines = 32, kFewLines = 8;
constexpr int64_t kSuperblockKeys = kSuperblock * kKeyBlock;

// What runs of keys have added up to: the largest score and the sum of powers. `add` says what a
// fold does with the values, too.
struct Fold {
  float most, sum, before, after;
  bool there, first;

  TM_FN void add(float next_most, float next_sum) {
    first = !there;
    if (first) {
      most = next_most;
      sum = next_sum;
    } else {
      const float larger_most = larger(most, next_most);
      before = exp_down(most - larger_most);
      after = exp_down(next_most - larger_most);
      sum = fma(sum, before, next_sum * after);
      most = larger_most;
    }
    there = true;
  }
  TM_FN float folded(float whole, float part) const {
    return first ? part : fma(whole, before, part * after);
  }
  TM_FN float result(float whole) const {
    return there ? canonical(whole * (1.0f / sum)) : 0.0f;
  }
  TM_FN void store(float *statistics) const {
    statistics[0] = there ? most + 0.0f : -infinity<float>();
    statistics[1] = there ? canonical(sum) : 0.0f;
  }
};

// A head of a row. From `begin` to `end` are the keys of a block that it sees.
struct Line {
  int64_t number, sequence;  // number: of the row and the head
  Span seen;
  bool there;
  int begin, end;
  Fold superblock, whole;
};

template <int kLines>
struct AttentionStage {
  alignas(16) float query[kLines][kSlice];
  alignas(16) float powers[kLines][kKeys];
  Line line[kLines];
};

template <int kLines>
class AttentionTile {
  static constexpr int kOwn = kLines / kTeams;  // lines of a thread
  const tmk_attention &c_;
  AttentionStage<kLines> &stage_;
  const int thread_, own_, first_line_;  // own: a key or a dimension; lines from here on
  int64_t slice_, cached_;      // dimensions from here on; the cached head
  float part_[kOwn][kTurns], superblock_[kOwn][kTurns], whole_[kOwn][kTurns];

 public:
  TM_FN AttentionTile(const tmk_attention &c, AttentionStage<kLines> &stage)
      : c_(c),
        stage_(stage),
        thread_(threadIdx.x),
        own_(thread_ % kKeys),
        first_line_(thread_ / kKeys * kOwn) {
    cached_ = blockIdx.y % c.cache.heads;
    slice_ = blockIdx.y / c.cache.heads * kSlice;
    if (thread_ < kLines) stage.line[thread_] = line_of(thread_);
    __syncthreads();
    if (c.cache.size <= kSlice) load_queries(0);
  }

  // The keys that lines first .. last-1, of one sequence, see; of one superblock, or of all.
  TM_FN void add_keys(int first, int last, int64_t only) {
    const Span seen = seen_by_any(first, last);
    if (seen.empty()) return;
    const CachedHead head(c_.cache, stage_.line[first].sequence, cached_);
    const int64_t begin = seen.first / kSuperblockKeys, end = divided_up(seen.end, kSuperblockKeys);
    for (int64_t s = only < 0 ? begin : only; s < end && (only < 0 || s == only); s++) {
      for (int64_t b = s * kSuperblock; b < (s + 1) * kSuperblock && b * kKeyBlock < seen.end; b++)
        if ((b + 1) * kKeyBlock > seen.first) add_block(head, b, first, last);
      if (only < 0) end_superblock(first, last);
    }
  }

  TM_FN void store() const {
    each_value([&](int i, int turn, int64_t d) {
      const Line &line = stage_.line[first_line_ + i];
      c_.out[line.number * c_.cache.size + d] = line.whole.result(whole_[i][turn]);
    });
    if (slice_ != 0 || thread_ >= kLines || !c_.statistics) return;
    const Line &line = stage_.line[thread_];
    if (line.there) line.whole.store(c_.statistics + 2 * line.number);
  }

  // parts[line][largest score, sum of powers, values], where there are any.
  TM_FN void store_parts(float *parts) const {
    const int64_t of_line = c_.cache.size + 2;
    each_value([&](int i, int turn, int64_t d) {
      const Line &line = stage_.line[first_line_ + i];
      if (line.superblock.there) parts[line.number * of_line + 2 + d] = superblock_[i][turn];
    });
    if (slice_ != 0 || thread_ >= kLines) return;
    const Line &line = stage_.line[thread_];
    if (!line.there || !line.superblock.there) return;
    parts[line.number * of_line] = line.superblock.most;
    parts[line.number * of_line + 1] = line.superblock.sum;
  }

 private:
  TM_FN Line line_of(int place) const {
    const int64_t group = c_.heads / c_.cache.heads;
    const int64_t number = int64_t{blockIdx.x} * kLines + place, row = number / group;
    Line line = {};
    line.there = row < c_.rows;
    if (!line.there) return line;
    line.number = row * c_.heads + cached_ * group + number % group;
    line.sequence = sequence_of(c_.sequences, row);
    line.seen = seen_by(c_, row);
    return line;
  }

  TM_FN void load_queries(int64_t first) const {
    for (int i = thread_; i < kLines * kSlice; i += kAttentionThreads) {
      const Line &line = stage_.line[i / kSlice];
      const int64_t d = first + i % kSlice;
      const bool there = line.there && d < c_.cache.size;
      stage_.query[i / kSlice][i % kSlice] =
          there ? c_.queries[line.number * c_.cache.size + d] * c_.scale : 0.0f;
    }
    __syncthreads();
  }

  TM_FN Span seen_by_any(int first, int last) const {
    Span any{c_.cache.blocks * kKeyBlock, 0};
    for (int i = first; i < last; i++) {
      const Span seen = stage_.line[i].seen;
      if (seen.empty()) continue;
      any.first = smaller_of(any.first, seen.first);
      any.end = seen.end > any.end ? seen.end : any.end;
    }
    return any;
  }

  TM_FN void add_block(const CachedHead &head, int64_t block, int first, int last) {
    make_scores(head.keys_of(block));
    __syncthreads();
    for (int i = thread_ / kWarp; i < kLines; i += kAttentionThreads / kWarp)
      make_powers(stage_.line[i], stage_.powers[i], block * kKeyBlock, i >= first && i < last);
    __syncthreads();
    add_values(head.values_of(block));
#pragma unroll
    for (int i = 0; i < kOwn; i++) {
      const Line &line = stage_.line[first_line_ + i];
      if (line.begin >= line.end) continue;
#pragma unroll
      for (int turn = 0; turn < kTurns; turn++)
        superblock_[i][turn] = line.superblock.folded(superblock_[i][turn], part_[i][turn]);
    }
    __syncthreads();
  }

  // A thread's key and the lines of its team.
  TM_FN void make_scores(const float *keys) const {
    float sums[kOwn] = {};
    for (int64_t first = 0; first < c_.cache.size; first += kSlice) {
      if (c_.cache.size > kSlice) load_queries(first);
      const int count = static_cast<int>(smaller_of(kSlice, c_.cache.size - first));
#pragma unroll 4
      for (int d = 0; d < count; d++) {
        const float key = keys[(first + d) * kKeys + own_];
#pragma unroll
        for (int i = 0; i < kOwn; i++)
          sums[i] = fma(stage_.query[first_line_ + i][d], key, sums[i]);
      }
      if (c_.cache.size > kSlice) __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < kOwn; i++) stage_.powers[first_line_ + i][own_] = sums[i];
  }

  TM_FN static int place_in_block(int64_t position, int64_t start) {
    return position > start ? static_cast<int>(smaller_of(position - start, kKeys)) : 0;
  }

  // A warp turns the scores of a line into powers, two to a lane.
  TM_FN void make_powers(Line &line, float powers[kKeys], int64_t start, bool taken) const {
    const int lane = thread_ % kWarp;
    const int begin = place_in_block(line.seen.first, start);
    const int end = taken ? place_in_block(line.seen.end, start) : 0;
    if (begin < end) {
      float most = -infinity<float>(), sum = 0.0f, own[kKeys / kWarp];
#pragma unroll
      for (int i = 0; i < kKeys / kWarp; i++) {
        const int j = lane + i * kWarp;
        own[i] = powers[j];
        if (j >= begin && j < end) most = larger(own[i], most);
      }
#pragma unroll
      for (int distance = 1; distance < kWarp; distance *= 2)
        most = larger(exchanged(most, distance), most);
#pragma unroll
      for (int i = 0; i < kKeys / kWarp; i++) {
        const int j = lane + i * kWarp;
        own[i] = j >= begin && j < end ? exp_down(own[i] - most) : 0.0f;
        powers[j] = own[i];
        sum = i == 0 ? own[i] : sum + own[i];
      }
#pragma unroll
      for (int distance = kWarp / 2; distance >= 1; distance /= 2)
        sum = sum + exchanged(sum, distance);
      if (lane == 0) line.superblock.add(most, sum);
    }
    if (lane == 0) {
      line.begin = begin;
      line.end = end;
    }
  }

  // part = the chain over the keys that each line sees.
  TM_FN void add_values(const float *values) {
    int first = kKeys, last = 0, latest = 0, soonest = kKeys;
#pragma unroll
    for (int i = 0; i < kOwn; i++) {
      const Line &line = stage_.line[first_line_ + i];
#pragma unroll
      for (int turn = 0; turn < kTurns; turn++) part_[i][turn] = 0.0f;
      if (line.begin >= line.end) continue;
      first = line.begin < first ? line.begin : first;
      last = line.end > last ? line.end : last;
      latest = line.begin > latest ? line.begin : latest;
      soonest = line.end < soonest ? line.end : soonest;
    }
    if (latest == first && soonest == last)
      add_chain<true>(values, first, last);
    else
      add_chain<false>(values, first, last);
  }

  template <bool kAlike>
  TM_FN void add_chain(const float *values, int first, int last) {
    const int64_t row = value_row(c_.cache);
#pragma unroll 2
    for (int j = first; j < last; j++) {
      float value[kTurns];
#pragma unroll
      for (int turn = 0; turn < kTurns; turn++) {
        const int64_t d = slice_ + turn * kKeys + own_;
        value[turn] = d < c_.cache.size ? values[j * row + d] : 0.0f;
      }
#pragma unroll
      for (int i = 0; i < kOwn; i++) {
        const Line &line = stage_.line[first_line_ + i];
        if (!kAlike && (j < line.begin || j >= line.end)) continue;
        const float power = stage_.powers[first_line_ + i][j];
#pragma unroll
        for (int turn = 0; turn < kTurns; turn++)
          part_[i][turn] = fma(power, value[turn], part_[i][turn]);
      }
    }
  }

  TM_FN void end_superblock(int first, int last) {
    if (thread_ >= first && thread_ < last) {
      Line &line = stage_.line[thread_];
      if (line.superblock.there) line.whole.add(line.superblock.most, line.superblock.sum);
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kOwn; i++) {
      const int number = first_line_ + i;
      const Line &line = stage_.line[number];
      if (number < first || number >= last || !line.superblock.there) continue;
#pragma unroll
      for (int turn = 0; turn < kTurns; turn++)
        whole_[i][turn] = line.whole.folded(whole_[i][turn], superblock_[i][turn]);
    }
    __syncthreads();
    if (thread_ >= first && thread_ < last)
      stage_.line[thread_].superblock.there = false;
    __syncthreads();
  }

  template <typename Each>
  TM_FN void each_value(Each each) const {
#pragma unroll
    for (int i = 0; i < kOwn; i++)
#pragma unroll
      for (int turn = 0; turn < kTurns; turn++) {
        const int64_t d = slice_ + turn * kKeys + own_;
        if (stage_.line[first_line_ + i].there && d < c_.cache.size) each(i, turn, d);
      }
  }
};

}  // namespace
}  // namespace tmk

#endif
