// A pool of threads that sleep while there is nothing to do. (Threads that spin at a barrier take
// the core another process, or the very thread they wait for, would have used.)
#include <pthread.h>
#include <stdlib.h>

#include "parallel.h"

namespace {

struct Job {
  void (*task)(void *, int64_t, int);
  void *context;
  int64_t count, next, running;  // `next` is the first task nobody has taken
};

}  // namespace

struct tmk_pool {
  pthread_mutex_t turn;  // held by the caller whose job this is
  pthread_mutex_t lock;  // guards what follows
  pthread_cond_t work, finished;
  Job job;
  int threads, started, numbered;
  bool closing;
  pthread_t workers[kMaxThreads];
};

namespace {

// Takes tasks until none are left. Called and left with the lock held.
void take_tasks(tmk_pool &pool, int worker) {
  Job &job = pool.job;
  while (job.next < job.count) {
    const int64_t number = job.next++;
    job.running++;
    pthread_mutex_unlock(&pool.lock);
    job.task(job.context, number, worker);
    pthread_mutex_lock(&pool.lock);
    job.running--;
  }
}

void *work(void *argument) {
  tmk_pool &pool = *static_cast<tmk_pool *>(argument);
  const FloatState state;
  pthread_mutex_lock(&pool.lock);
  const int worker = ++pool.numbered;
  while (!pool.closing) {
    take_tasks(pool, worker);
    if (pool.job.running == 0) pthread_cond_signal(&pool.finished);
    pthread_cond_wait(&pool.work, &pool.lock);
  }
  pthread_mutex_unlock(&pool.lock);
  return nullptr;
}

void run_alone(int64_t count, void (*task)(void *, int64_t, int), void *context) {
  for (int64_t number = 0; number < count; number++) task(context, number, 0);
}

}  // namespace

tmk_pool *tmk_pool_open(int threads) {
  if (threads < 1 || threads > kMaxThreads) return nullptr;
  tmk_pool *pool = static_cast<tmk_pool *>(calloc(1, sizeof(tmk_pool)));
  if (!pool) return nullptr;
  pthread_mutex_init(&pool->turn, nullptr);
  pthread_mutex_init(&pool->lock, nullptr);
  pthread_cond_init(&pool->work, nullptr);
  pthread_cond_init(&pool->finished, nullptr);
  pool->threads = threads;
  for (; pool->started < threads - 1; pool->started++)
    if (pthread_create(&pool->workers[pool->started], nullptr, work, pool)) {
      tmk_pool_close(pool);
      return nullptr;
    }
  return pool;
}

void tmk_pool_close(tmk_pool *pool) {
  pthread_mutex_lock(&pool->lock);
  pool->closing = true;
  pthread_cond_broadcast(&pool->work);
  pthread_mutex_unlock(&pool->lock);
  for (int i = 0; i < pool->started; i++) pthread_join(pool->workers[i], nullptr);
  pthread_cond_destroy(&pool->finished);
  pthread_cond_destroy(&pool->work);
  pthread_mutex_destroy(&pool->lock);
  pthread_mutex_destroy(&pool->turn);
  free(pool);
}

int tmk_pool_threads(const tmk_pool *pool) { return pool->threads; }

void tmk_pool_run(tmk_pool *pool, int64_t count, void (*task)(void *, int64_t, int),
                  void *context) {
  if (pool->threads == 1 || pthread_mutex_trylock(&pool->turn)) {
    run_alone(count, task, context);
    return;
  }
  pthread_mutex_lock(&pool->lock);
  pool->job = {task, context, count, 0, 0};
  pthread_cond_broadcast(&pool->work);
  take_tasks(*pool, 0);
  while (pool->job.running > 0) pthread_cond_wait(&pool->finished, &pool->lock);
  pthread_mutex_unlock(&pool->lock);
  pthread_mutex_unlock(&pool->turn);
}
