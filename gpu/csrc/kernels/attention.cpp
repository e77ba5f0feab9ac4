// Attention; reference/attention.cpp says what it is. A task is up to kTaskRows rows of one sequence
// and one cached head: (token, head) pairs that read the same keys. It goes through the blocks in
// ascending order, tile by tile of kTileRows rows, so that a block is read from memory once.
#include "attention.h"

namespace tmk {
namespace {

constexpr int64_t kTaskRows = 4 * kTileRows;
constexpr int64_t kRowVectors = (kTaskRows + kLanes - 1) / kLanes;
constexpr int64_t kRoom = kRowVectors * kLanes;  // rows that arrays of rows have room for

// What a run of keys adds to each row: the largest score, the sum of powers, the weighted values.
struct Parts {
  alignas(64) uint32_t there[kRoom] = {};  // all bits set, or none
  alignas(64) float most[kRoom] = {};
  alignas(64) float sum[kRoom] = {};
  float *values;  // [kTaskRows][width]
};

// Adds `next` to `whole`, row by row.
void fold(Parts &whole, const Parts &next, int64_t rows, int64_t width) {
  alignas(64) float before[kRoom], after[kRoom];
  alignas(64) uint32_t had[kRoom];
  memcpy(had, whole.there, sizeof had);
  for (int64_t r = 0; r < rows; r += kLanes) {
    const Ints has = (Ints)load(whole.there + r), gets = (Ints)load(next.there + r);
    const Floats old = load(whole.most + r), fresh = load(next.most + r);
    const Floats most = larger(old, fresh);
    const Floats a = exp(old - most), b = exp(fresh - most);
    const Floats sum = fma(load(whole.sum + r), a, load(next.sum + r) * b);
    store(before + r, a);
    store(after + r, b);
    store(whole.there + r, (Words)(has | gets));
    store(whole.most + r, choose(gets, choose(has, most, fresh), old));
    store(whole.sum + r,
          choose(gets, choose(has, sum, load(next.sum + r)), load(whole.sum + r)));
  }
  for (int64_t r = 0; r < rows; r++) {
    if (!next.there[r]) continue;
    float *to = whole.values + r * width;
    const float *from = next.values + r * width;
    if (!had[r]) {
      memcpy(to, from, width * sizeof *to);
      continue;
    }
    const Floats a = broadcast(before[r]), b = broadcast(after[r]);
    for (int64_t d = 0; d < width; d += kLanes)
      store(to + d, fma(load(to + d), a, load(from + d) * b));
  }
}

// Where a task's rows are among all pairs (token, head of the group): `count` from pair `first` on.
struct Task {
  int64_t first, count;
};

// Where a pair's query and result lie, in units of the head's size.
int64_t place_of(const tmk_attention &c, int64_t cached, int64_t pair) {
  const int64_t group = c.heads / c.cache.heads;
  return pair / group * c.heads + cached * group + pair % group;
}

class Rows {
 public:
  Rows(const tmk_attention &c, int64_t cached, Task task, float *memory)
      : c_(c),
        cached_(cached),
        group_(c.heads / c.cache.heads),
        task_(task),
        size_(c.cache.size),
        width_(value_row(c.cache)),
        head_(c.cache, sequence_of(c.sequences, task.first / group_), cached),
        queries_(memory),
        scores_(queries_ + rounded_up(kTaskRows * size_, kValueUnit)) {
    float *values = scores_ + kTaskRows * kKeyBlock;
    total_.values = values;
    superblock_.values = total_.values + kTaskRows * width_;
    block_.values = superblock_.values + kTaskRows * width_;
    for (int64_t r = 0; r < task.count; r++) read_row(r);
  }

  static int64_t memory(const tmk_cache &c) {
    return rounded_up(kTaskRows * c.size, kValueUnit) +
           kTaskRows * (kKeyBlock + 3 * value_row(c));
  }

  void attend() {
    for (int64_t block = seen_.first / kKeyBlock; block * kKeyBlock < seen_.end;) {
      memset(superblock_.there, 0, sizeof superblock_.there);
      const int64_t next = (block / kSuperblock + 1) * kSuperblock;
      for (; block < next && block * kKeyBlock < seen_.end; block++) {
        add_block(block);
        fold(superblock_, block_, task_.count, width_);
      }
      fold(total_, superblock_, task_.count, width_);
    }
    for (int64_t r = 0; r < task_.count; r++) write_row(r);
  }

 private:
  int64_t token(int64_t r) const { return (task_.first + r) / group_; }
  int64_t place(int64_t r) const { return place_of(c_, cached_, task_.first + r); }

  void read_row(int64_t r) {
    const float *query = c_.queries + place(r) * size_;
    for (int64_t d = 0; d < size_; d++) queries_[r * size_ + d] = query[d] * c_.scale;
    spans_[r] = seen_by(c_, token(r));
    if (!spans_[r].empty()) seen_ = both(seen_, spans_[r]);
  }

  static Span both(Span a, Span b) {
    if (a.empty()) return b;
    return {least(a.first, b.first), a.end > b.end ? a.end : b.end};
  }

  // What a row sees of a block, counted from its start.
  Span within(int64_t r, int64_t block) const {
    const int64_t start = block * kKeyBlock, first = spans_[r].first - start;
    return {first > 0 ? first : 0, least(spans_[r].end - start, kKeyBlock)};
  }

  void add_block(int64_t block) {
    for (int64_t r = 0; r < task_.count; r += kTileRows)
      score(block, r, least(kTileRows, task_.count - r));
    find_powers(block);
    for (int64_t r = 0; r < task_.count; r += kTileRows)
      weigh(block, r, least(kTileRows, task_.count - r));
  }

  // Step by step for all rows, since one row's steps wait for each other.
  void find_powers(int64_t block) {
    for (int64_t r = 0; r < task_.count; r++) {
      const Span span = within(r, block);
      block_.there[r] = span.empty() ? 0u : ~0u;
      if (!is_whole(span)) hide(scores_ + r * kKeyBlock, span);
    }
    for (int64_t r = 0; r < task_.count; r++)
      block_.most[r] = largest_score(scores_ + r * kKeyBlock);
    for (int64_t r = 0; r < task_.count; r++)
      raise(scores_ + r * kKeyBlock, block_.most[r]);
    for (int64_t r = 0; r < task_.count; r++)
      block_.sum[r] = sum_of_powers(scores_ + r * kKeyBlock);
  }

  void score(int64_t block, int64_t first, int64_t rows) {
    Span span{0, 0};
    for (int64_t r = first; r < first + rows; r++) {
      const Span row = within(r, block);
      if (!row.empty()) span = both(span, row);
    }
    if (!span.empty())
      tile_of(rows).score(queries_ + first * size_, head_.keys_of(block), size_, span,
                          scores_ + first * kKeyBlock);
  }

  // The keys that all rows see are done together; those before and after them row by row.
  void weigh(int64_t block, int64_t first, int64_t rows) {
    Span common{0, kKeyBlock};
    bool edges = false, any = false;
    for (int64_t r = first; r < first + rows; r++) {
      const Span row = within(r, block);
      if (row.empty()) continue;
      edges = edges || (any && row.first != common.first);
      any = true;
      common = {common.first > row.first ? common.first : row.first, least(common.end, row.end)};
    }
    if (!any) return;
    if (common.empty()) common = {kKeyBlock, kKeyBlock};
    if (edges || common.empty()) {
      memset(block_.values + first * width_, 0, rows * width_ * sizeof *block_.values);
      for (int64_t r = first; r < first + rows; r++)
        weigh_row(block, r, {within(r, block).first, least(common.first, within(r, block).end)});
    }
    if (!common.empty())
      tile_of(rows).weigh(scores_ + first * kKeyBlock, head_.values_of(block), common, width_,
                          !edges, block_.values + first * width_);
    for (int64_t r = first; r < first + rows; r++)
      if (block_.there[r]) weigh_row(block, r, {common.end, within(r, block).end});
  }

  void weigh_row(int64_t block, int64_t r, Span span) {
    if (!span.empty())
      weigh_tile<1>(scores_ + r * kKeyBlock, head_.values_of(block), span, width_, false,
                    block_.values + r * width_);
  }

  void write_row(int64_t r) {
    const bool there = total_.there[r];
    const Floats factor = broadcast(1.0f / total_.sum[r]);
    const float *values = total_.values + r * width_;
    float *out = c_.out + place(r) * size_;
    for (int64_t d = 0; d < size_; d += kLanes)
      store_some(out + d, there ? canonical(load(values + d) * factor) : Floats{}, size_ - d);
    if (!c_.statistics) return;
    float *statistics = c_.statistics + 2 * place(r);
    statistics[0] = there ? total_.most[r] + 0.0f : -infinity<float>();
    statistics[1] = there ? canonical(total_.sum[r]) : 0.0f;
  }

  const tmk_attention &c_;
  const int64_t cached_, group_;
  const Task task_;
  const int64_t size_, width_;
  const CachedHead head_;
  float *queries_, *scores_;  // [kTaskRows][size_], [kTaskRows][kKeyBlock]
  Span spans_[kTaskRows], seen_{0, 0};
  Parts total_, superblock_, block_;
};

// Tokens that follow each other in one sequence share tasks.
int64_t make_tasks(const tmk_attention &c, Task *tasks) {
  const int64_t group = c.heads / c.cache.heads;
  int64_t count = 0;
  for (int64_t token = 0, end; token < c.rows; token = end) {
    for (end = token + 1; end < c.rows; end++)
      if (sequence_of(c.sequences, end) != sequence_of(c.sequences, token)) break;
    for (int64_t pair = token * group; pair < end * group; pair += kTaskRows)
      tasks[count++] = {pair, least(kTaskRows, end * group - pair)};
  }
  return count;
}

struct Memory {
  Task *tasks;
  float *workers;
  Memory(const tmk_attention &c, Workspace &space)
      : tasks(space.part<Task>(c.rows * (c.heads / c.cache.heads) / kTaskRows + c.rows)),
        workers(space.part<float>(Rows::memory(c.cache) * threads_of(c.pool))) {}
};

}  // namespace
}  // namespace tmk

int TMK_ENTRY(append)(const tmk_append *c) { return append_tokens(*c); }

uint64_t TMK_ENTRY(attention_workspace)(const tmk_attention *call) {
  Workspace space;
  tmk::Memory(*call, space);
  return space.needed();
}

int TMK_ENTRY(attention)(const tmk_attention *call) {
  const tmk_attention &c = *call;
  if (!valid(c)) return TMK_BAD_ARGUMENT;
  if (!in_range(c)) return TMK_BAD_PLACE;
  Workspace space(c.workspace);
  const tmk::Memory memory(c, space);
  if (!space.held()) return TMK_SMALL_WORKSPACE;
  const FloatState state;
  const int64_t tasks = tmk::make_tasks(c, memory.tasks);
  // Later tokens see more keys: they go first, so that threads end together.
  parallel(c.pool, tasks * c.cache.heads, [&](int64_t number, int worker) {
    const tmk::Task task = memory.tasks[tasks - 1 - number % tasks];
    tmk::Rows(c, number / tasks, task, memory.workers + worker * tmk::Rows::memory(c.cache))
        .attend();
  });
  return TMK_OK;
}
