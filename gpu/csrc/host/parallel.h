// Loops over independent tasks, shared among the threads of a pool. Which thread does which task is
// left to chance: no result may depend on it.
#ifndef TM_PARALLEL_H
#define TM_PARALLEL_H

#include <stdint.h>

#include "../tmkernels.h"
#include "float_state.h"

// Runs task(context, number, worker) for number 0 .. count-1 and returns when all are done; 0 <=
// worker < tmk_pool_threads(pool), and no two running tasks have the same one. Without a pool, and
// while another call uses it, the calling thread does everything as worker 0.
void tmk_pool_run(tmk_pool *pool, int64_t count, void (*task)(void *, int64_t, int), void *context);

namespace {

constexpr int kMaxThreads = 256;

inline int threads_of(const tmk_pool *pool) { return pool ? tmk_pool_threads(pool) : 1; }

template <typename Task>
void parallel(tmk_pool *pool, int64_t count, Task task) {
  if (!pool || count <= 1) {
    for (int64_t number = 0; number < count; number++) task(number, 0);
    return;
  }
  const auto call = [](void *context, int64_t number, int worker) {
    (*static_cast<Task *>(context))(number, worker);
  };
  tmk_pool_run(pool, count, call, &task);
}

// task(first, last, worker) over pieces of 0 .. count-1, each of `grain` but the last.
template <typename Task>
void parallel_ranges(tmk_pool *pool, int64_t count, int64_t grain, Task task) {
  parallel(pool, (count + grain - 1) / grain, [&](int64_t piece, int worker) {
    const int64_t first = piece * grain;
    task(first, first + grain < count ? first + grain : count, worker);
  });
}

}  // namespace

#endif
