// Softmax, norms and sums of rows; reference/rows.cpp says what they are.
#include "rows.h"

#include "../best.h"
#include "../casts.h"
#include "../reading.h"
#include "../math/activations.h"

namespace tmk {
namespace {

void softmax(const tmk_rows &c, const float *in, float *out) {
  const Floats most = broadcast(largest(in, c.width));
  map_row(c.width, out,
          [=](int64_t i, int64_t there) { return exp(load_some(in + i, there) - most); });
  const float sum = row_sum(c.width, [=](Floats lanes, int64_t i, int64_t there) {
    return lanes + load_some(out + i, there);
  });
  const Floats factor = broadcast(1.0f / sum);
  map_row(c.width, out, [=](int64_t i, int64_t there) {
    return canonical(load_some(out + i, there) * factor);
  });
}

void rmsnorm(const tmk_rows &c, const float *in, float *out) {
  const float squares = row_sum(c.width, [=](Floats lanes, int64_t i, int64_t there) {
    const Floats x = load_some(in + i, there);
    return fma(x, x, lanes);
  });
  const float mean = squares / static_cast<float>(c.width);
  const Floats factor = broadcast(reciprocal_root(mean + c.epsilon));
  const float *weight = c.weight;
  map_row(c.width, out, [=](int64_t i, int64_t there) {
    const Floats scaled = load_some(in + i, there) * factor;
    return canonical(weight ? scaled * load_some(weight + i, there) : scaled);
  });
}

void layernorm(const tmk_rows &c, const float *in, float *out) {
  const float size = static_cast<float>(c.width);
  const float mean = row_sum(c.width, [=](Floats lanes, int64_t i, int64_t there) {
                       return lanes + load_some(in + i, there);
                     }) / size;
  const Floats middle = broadcast(mean);
  const float squares = row_sum(c.width, [=](Floats lanes, int64_t i, int64_t there) {
    const Floats distance = load_some(in + i, there) - middle;
    return fma(distance, distance, lanes);
  });
  const Floats factor = broadcast(reciprocal_root(squares / size + c.epsilon));
  const float *weight = c.weight, *bias = c.bias;
  map_row(c.width, out, [=](int64_t i, int64_t there) {
    const Floats scaled = (load_some(in + i, there) - middle) * factor;
    return canonical(fma(scaled, weight ? load_some(weight + i, there) : all<Floats>(1.0f),
                         bias ? load_some(bias + i, there) : Floats{}));
  });
}

void sum(const tmk_rows &c, const float *in, float *out) {
  *out = canonical(row_sum(c.width, [=](Floats lanes, int64_t i, int64_t there) {
    return lanes + load_some(in + i, there);
  }));
}

// Rows are shared out so that a task has at least this many elements.
constexpr int64_t kTaskElements = 16384;

int each_row(const tmk_rows &c, int64_t out_width,
             void (*operation)(const tmk_rows &, const float *, float *)) {
  if (!valid(c)) return TMK_BAD_ARGUMENT;
  const FloatState state;
  const int64_t grain = (kTaskElements + c.width - 1) / c.width;
  parallel_ranges(c.pool, c.rows, grain, [&](int64_t first, int64_t last, int) {
    for (int64_t i = first; i < last; i++)
      operation(c, c.in + i * c.width, c.out + i * out_width);
  });
  return TMK_OK;
}

}  // namespace
}  // namespace tmk

int TMK_ENTRY(softmax)(const tmk_rows *c) { return tmk::each_row(*c, c->width, tmk::softmax); }

int TMK_ENTRY(rmsnorm)(const tmk_rows *c) { return tmk::each_row(*c, c->width, tmk::rmsnorm); }

int TMK_ENTRY(layernorm)(const tmk_rows *c) { return tmk::each_row(*c, c->width, tmk::layernorm); }

int TMK_ENTRY(row_sums)(const tmk_rows *c) { return tmk::each_row(*c, 1, tmk::sum); }

int TMK_ENTRY(best)(const tmk_best *c) { return best_of_rows(*c); }

int TMK_ENTRY(cast)(const tmk_cast *c) { return cast_elements(*c); }

int TMK_ENTRY(read)(const tmk_reading *c) { return read_words(*c); }
