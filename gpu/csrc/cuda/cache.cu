// Tokens put into the cache of keys and values, and the checks of places: csrc/attention.h is the
// definition.
#include "cuda/calls.h"
#include "cuda/device.h"
#include "shapes/cache.h"

namespace {

constexpr int kThreads = 256;

TM_FN int64_t thread_number() { return int64_t{blockIdx.x} * kThreads + threadIdx.x; }

}  // namespace

// Places come first: what follows writes and reads where they say.
TM_KERNEL(bad_places, kThreads, tmk_places) {
  const int64_t i = thread_number();
  if (i >= call.count) return;
  if (!has_place(call.cache, call.sequences, call.positions, i) ||
      !has_bounds(call.cache, call.sequences, call.starts, call.lengths, i))
    *call.found = 1;
}

// Of several tokens that have the same place the last one stays: a thread looks whether a later token
// has its own's.
TM_KERNEL(replaced_tokens, kThreads, tmk_appending) {
  __shared__ int64_t places[kThreads];
  const tmk_append &append = call.append;
  const auto place_of = [&](int64_t token) {
    const int64_t sequence = sequence_of(append.sequences, token);
    return sequence * append.cache.blocks * kKeyBlock + append.positions[token];
  };
  const int64_t own = thread_number();
  const int64_t place = own < append.tokens ? place_of(own) : -1;
  bool replaced = false;
  for (int64_t start = int64_t{blockIdx.x} * kThreads; start < append.tokens; start += kThreads) {
    const int64_t token = start + threadIdx.x;
    places[threadIdx.x] = token < append.tokens ? place_of(token) : -1;
    __syncthreads();
    const int64_t first = own < start ? 0 : own - start + 1;
    for (int64_t i = first; i < kThreads && !replaced; i++) replaced = places[i] == place;
    __syncthreads();
  }
  if (own < append.tokens) call.replaced[own] = replaced;
}

// A thread copies a number of a key, and that of the value.
TM_KERNEL(append, kThreads, tmk_appending) {
  const tmk_append &append = call.append;
  const tmk_cache &cache = append.cache;
  const int64_t d = thread_number() % cache.size, from = thread_number() / cache.size;
  const int64_t head = from % cache.heads, token = from / cache.heads;
  if (token >= append.tokens || call.replaced[token]) return;
  const CachedHead to(cache, sequence_of(append.sequences, token), head);
  const int64_t block = append.positions[token] / kKeyBlock;
  const int64_t place = append.positions[token] % kKeyBlock;
  to.keys_of(block)[d * kKeyBlock + place] = append.keys[thread_number()];
  to.values_of(block)[place * value_row(cache) + d] = append.values[thread_number()];
}
