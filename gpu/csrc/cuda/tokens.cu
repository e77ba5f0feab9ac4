// Operations on tokens: reference/tokens.cpp is the definition.
#include "cuda/calls.h"
#include "cuda/device.h"
#include "math/narrow.h"
#include "math/trigonometric.h"

namespace {

constexpr int kThreads = 256;

TM_FN int64_t thread_number() { return int64_t{blockIdx.x} * kThreads + threadIdx.x; }

}  // namespace

// A thread turns one pair.
TM_KERNEL(rope, kThreads, tmk_rope) {
  const int64_t half = call.size / 2, pair = thread_number() % half;
  const int64_t head = thread_number() / half, token = head / call.heads;
  if (token >= call.tokens) return;
  const float angle = static_cast<float>(call.positions[token]) * call.frequencies[pair];
  const float sine = tmk::sin(angle), cosine = tmk::cos(angle);
  const int64_t first = head * call.size + (call.interleaved ? 2 * pair : pair);
  const int64_t second = first + (call.interleaved ? 1 : half);
  const float a = call.in[first], b = call.in[second];
  call.out[first] = tmk::canonical(tmk::fma(a, cosine, -(b * sine)));
  call.out[second] = tmk::canonical(tmk::fma(b, cosine, a * sine));
}

// Indices come first: gathering reads what they say.
TM_KERNEL(bad_indices, kThreads, tmk_indices) {
  const int64_t i = thread_number();
  if (i < call.count && (call.indices[i] < 0 || call.indices[i] >= call.rows)) *call.found = 1;
}

namespace {

template <typename Entry, typename Widened>
TM_FN void gather(const tmk_gather &call, Widened widened) {
  const Entry *table = static_cast<const Entry *>(call.table);
  const int64_t column = thread_number() % call.width, i = thread_number() / call.width;
  if (i < call.count)
    call.out[thread_number()] =
        tmk::canonical(widened(table[call.indices[i] * call.width + column]));
}

}  // namespace

TM_KERNEL(gather_f32, kThreads, tmk_gather) {
  gather<float>(call, [](float x) { return x; });
}
TM_KERNEL(gather_bf16, kThreads, tmk_gather) {
  gather<uint16_t>(call, [](uint16_t x) { return tmk::from_bfloat16(x); });
}
TM_KERNEL(gather_f16, kThreads, tmk_gather) {
  gather<uint16_t>(call, [](uint16_t x) { return tmk::from_float16(x); });
}
