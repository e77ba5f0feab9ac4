// Gradients of operations on rows, and of functions of an element; one text, of vectors or of single
// numbers, after the rows.h of kernels or of reference. Sums over a row have the order L128, sums
// over the rows of a column C256.
#ifndef TM_TRAINING_ROWS_H
#define TM_TRAINING_ROWS_H

#include "columns.h"

#include "../math/gradients.h"
#include "../math/unary.h"

namespace tmk {
namespace {

constexpr int64_t kGradientGrain = 16384;

inline bool valid_gradient(const tmk_rows_gradient &c) { return ::valid(c) && c.in && c.out; }

// g is the gradient of a softmax whose result is y: (g - sum of g y) y.
inline void softmax_gradient(const tmk_rows_gradient &c, int64_t row) {
  const float *y = c.in + row * c.width, *g = c.gradient + row * c.width;
  const Floats sum = broadcast(row_sum(c.width, [=](Floats lanes, int64_t i, int64_t there) {
    return fma(load_some(g + i, there), load_some(y + i, there), lanes);
  }));
  map_row(c.width, c.out + row * c.width, [=](int64_t i, int64_t there) {
    return canonical((load_some(g + i, there) - sum) * load_some(y + i, there));
  });
}

// A row's mean (0 for rmsnorm) and 1 / its deviation, as the norms themselves have them.
struct Spread {
  float mean, factor;
};

inline Spread spread_of(const tmk_rows_gradient &c, const float *in, bool centred) {
  const float size = static_cast<float>(c.width);
  const float mean = centred ? row_sum(c.width, [=](Floats lanes, int64_t i, int64_t there) {
                                 return lanes + load_some(in + i, there);
                               }) / size
                             : 0.0f;
  const Floats middle = broadcast(mean);
  const float squares = row_sum(c.width, [=](Floats lanes, int64_t i, int64_t there) {
    const Floats x = load_some(in + i, there), distance = centred ? x - middle : x;
    return fma(distance, distance, lanes);
  });
  return {mean, reciprocal_root(squares / size + c.epsilon)};
}

// With h = g weight and n = (x - mean) factor: (h - mean of h - n (mean of h n)) factor, where
// rmsnorm has no mean of h.
inline Spread norm_gradient(const tmk_rows_gradient &c, int64_t row, bool centred) {
  const float *in = c.in + row * c.width, *g = c.gradient + row * c.width, *weight = c.weight;
  const Spread spread = spread_of(c, in, centred);
  const Floats middle = broadcast(spread.mean), factor = broadcast(spread.factor);
  const auto weighted = [=](int64_t i, int64_t there) {
    const Floats gradient = load_some(g + i, there);
    return weight ? gradient * load_some(weight + i, there) : gradient;
  };
  const auto normal = [=](int64_t i, int64_t there) {
    const Floats x = load_some(in + i, there);
    return (centred ? x - middle : x) * factor;
  };
  const float size = static_cast<float>(c.width);
  const Floats level =
      broadcast(centred ? row_sum(c.width, [=](Floats lanes, int64_t i, int64_t there) {
                            return lanes + weighted(i, there);
                          }) / size
                        : 0.0f);
  const Floats slope = broadcast(row_sum(c.width, [=](Floats lanes, int64_t i, int64_t there) {
                                   return fma(weighted(i, there), normal(i, there), lanes);
                                 }) / size);
  map_row(c.width, c.out + row * c.width, [=](int64_t i, int64_t there) {
    const Floats h = weighted(i, there), flat = centred ? h - level : h;
    return canonical(fma(-normal(i, there), slope, flat) * factor);
  });
  return spread;
}

// Sums of a norm's chunks, and the spreads of rows.
struct RowMemory {
  float *partial;
  Spread *spreads;
  RowMemory(const tmk_rows_gradient &c, Workspace &space)
      : partial(space.part<float>(2 * chunks_of(c.rows) * c.width)),
        spreads(space.part<Spread>(c.rows)) {}
};

inline uint64_t row_workspace(const tmk_rows_gradient &c) {
  if (!valid_gradient(c)) return 0;
  Workspace space;
  RowMemory(c, space);
  return space.needed();
}

inline int norm_gradients(const tmk_rows_gradient &c, bool centred) {
  if (!valid_gradient(c)) return TMK_BAD_ARGUMENT;
  Workspace space(c.workspace);
  const RowMemory memory(c, space);
  if (!space.held()) return TMK_SMALL_WORKSPACE;
  const FloatState state;
  const auto add = [&](int64_t row, int64_t column, int64_t count, float(&sums)[2][kColumns]) {
    const float *x = c.in + row * c.width + column, *g = c.gradient + row * c.width + column;
    const Spread spread = memory.spreads[row];
    for (int64_t j = 0; j < count; j++) {
      const float distance = centred ? x[j] - spread.mean : x[j];
      sums[0][j] = fma(g[j], distance * spread.factor, sums[0][j]);
      sums[1][j] = sums[1][j] + g[j];
    }
  };
  parallel(c.pool, chunks_of(c.rows), [&](int64_t chunk, int) {
    const int64_t first = chunk * kChunkRows, last = least(first + kChunkRows, c.rows);
    for (int64_t row = first; row < last; row++)
      memory.spreads[row] = norm_gradient(c, row, centred);
    if (c.weight_gradient || c.bias_gradient)
      chunk_of_columns<2>(first, last, c.width, memory.partial + 2 * chunk * c.width, add);
  });
  const int64_t chunks = chunks_of(c.rows);
  if (c.weight_gradient) fold_columns<2>(memory.partial, chunks, c.width, 0, c.weight_gradient);
  if (c.bias_gradient) fold_columns<2>(memory.partial, chunks, c.width, 1, c.bias_gradient);
  return TMK_OK;
}

inline bool valid_loss(const tmk_cross_entropy &c) {
  return counts(c.rows, c.width) && c.in && c.targets && c.losses && c.total;
}

// log(sum of powers) - (x[target] - largest), and (power / sum - [is target]) scale.
inline void cross_entropy(const tmk_cross_entropy &c, int64_t row, float scale) {
  const float *in = c.in + row * c.width;
  const int32_t target = c.targets[row];
  const float most = largest(in, c.width);
  const Floats middle = broadcast(most);
  const float sum = row_sum(c.width, [=](Floats lanes, int64_t i, int64_t there) {
    return lanes + exp(load_some(in + i, there) - middle);
  });
  c.losses[row] = canonical(log(sum) - (in[target] - most));
  if (!c.gradient) return;
  float *out = c.gradient + row * c.width;
  const Floats factor = broadcast(1.0f / sum), share = broadcast(scale);
  map_row(c.width, out, [=](int64_t i, int64_t there) {
    return canonical(exp(load_some(in + i, there) - middle) * factor * share);
  });
  out[target] = canonical((exp(in[target] - most) * (1.0f / sum) - 1.0f) * scale);
}

template <typename Function>
int each_gradient(const tmk_elements &c, Function function) {
  const FloatState state;
  parallel_ranges(c.pool, c.count, kGradientGrain, [&](int64_t first, int64_t last, int) {
    const float *x = c.left + first, *g = c.right + first;
    map_row(last - first, c.out + first, [=](int64_t i, int64_t there) {
      return canonical(function(load_some(x + i, there), load_some(g + i, there)));
    });
  });
  return TMK_OK;
}

}  // namespace
}  // namespace tmk

uint64_t TMK_ENTRY(softmax_gradient_workspace)(const tmk_rows_gradient *) { return 0; }

int TMK_ENTRY(softmax_gradient)(const tmk_rows_gradient *call) {
  const tmk_rows_gradient &c = *call;
  if (!tmk::valid_gradient(c)) return TMK_BAD_ARGUMENT;
  const FloatState state;
  const int64_t grain = (tmk::kGradientGrain + c.width - 1) / c.width;
  parallel_ranges(c.pool, c.rows, grain, [&](int64_t first, int64_t last, int) {
    for (int64_t row = first; row < last; row++) tmk::softmax_gradient(c, row);
  });
  return TMK_OK;
}

uint64_t TMK_ENTRY(rmsnorm_gradient_workspace)(const tmk_rows_gradient *c) {
  return tmk::row_workspace(*c);
}

int TMK_ENTRY(rmsnorm_gradient)(const tmk_rows_gradient *c) {
  return tmk::norm_gradients(*c, false);
}

uint64_t TMK_ENTRY(layernorm_gradient_workspace)(const tmk_rows_gradient *c) {
  return tmk::row_workspace(*c);
}

int TMK_ENTRY(layernorm_gradient)(const tmk_rows_gradient *c) {
  return tmk::norm_gradients(*c, true);
}

int TMK_ENTRY(cross_entropy)(const tmk_cross_entropy *call) {
  const tmk_cross_entropy &c = *call;
  if (!tmk::valid_loss(c)) return TMK_BAD_ARGUMENT;
  for (int64_t row = 0; row < c.rows; row++)
    if (c.targets[row] < 0 || c.targets[row] >= c.width) return TMK_BAD_INDEX;
  const FloatState state;
  const float scale = c.mean ? 1.0f / static_cast<float>(c.rows) : 1.0f;
  const int64_t grain = (tmk::kGradientGrain + c.width - 1) / c.width;
  parallel_ranges(c.pool, c.rows, grain, [&](int64_t first, int64_t last, int) {
    for (int64_t row = first; row < last; row++) tmk::cross_entropy(c, row, scale);
  });
  const float *losses = c.losses;
  const float sum = tmk::row_sum(c.rows, [=](tmk::Floats lanes, int64_t i, int64_t there) {
    return lanes + tmk::load_some(losses + i, there);
  });
  *c.total = tmk::canonical(sum * scale);
  return TMK_OK;
}

int TMK_ENTRY(unary_gradient)(const tmk_elements *call) {
  const tmk_elements &c = *call;
  if (!valid_unary(c) || !c.right) return TMK_BAD_ARGUMENT;
  switch (c.function) {
#define TM_CASE(name)        \
  case tmk::k_unary_##name: \
    return tmk::each_gradient(c, [](auto x, auto g) { return tmk::name##_gradient(x, g); });
    TM_GRADIENT_FUNCTIONS(TM_CASE)
#undef TM_CASE
  }
  return TMK_BAD_ARGUMENT;
}

#endif
