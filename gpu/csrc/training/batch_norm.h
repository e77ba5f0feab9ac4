// Normalization of columns by all rows, one text for every instruction set. Per 256 rows a chain of
// sums gives the chunk's mean, a second chain its squared distances from that; chunks are merged in
// ascending order in double precision (math/moments.h).
#ifndef TM_BATCH_NORM_H
#define TM_BATCH_NORM_H

#include "columns.h"

#include "../math/moments.h"

namespace {

inline bool valid(const tmk_batch_norm &c) {
  return counts(c.rows, c.width) && c.in && c.out && c.mean && c.inverse;
}

// Mean and squared distances of rows first .. last-1 of some columns.
inline void chunk_moments(const tmk_batch_norm &c, int64_t first, int64_t last, int64_t column,
                          int64_t count, float *means, float *squares) {
  const float share = 1.0f / static_cast<float>(last - first);
  float sums[kColumns] = {}, distances[kColumns] = {};
  for (int64_t row = first; row < last; row++) {
    const float *in = c.in + row * c.width + column;
    for (int64_t j = 0; j < count; j++) sums[j] = sums[j] + in[j];
  }
  for (int64_t j = 0; j < count; j++) sums[j] = sums[j] * share;
  for (int64_t row = first; row < last; row++) {
    const float *in = c.in + row * c.width + column;
    for (int64_t j = 0; j < count; j++) {
      const float distance = in[j] - sums[j];
      distances[j] = tmk::fma(distance, distance, distances[j]);
    }
  }
  for (int64_t j = 0; j < count; j++) means[j] = sums[j];
  for (int64_t j = 0; j < count; j++) squares[j] = distances[j];
}

// A column's statistics from its chunks' [2][width].
inline void finish_moments(const tmk_batch_norm &c, const float *partial, int64_t j) {
  tmk::Moments moments = {0.0, 0.0, 0.0};
  for (int64_t first = 0; first < c.rows; first += kChunkRows, partial += 2 * c.width)
    moments.merge(partial[j], partial[c.width + j], least(kChunkRows, c.rows - first));
  c.mean[j] = tmk::canonical(static_cast<float>(moments.mean));
  c.inverse[j] = moments.inverse(c.epsilon);
  if (!c.running_mean) return;
  c.running_mean[j] = tmk::moved(c.running_mean[j], c.mean[j], c.momentum);
  c.running_variance[j] =
      tmk::moved(c.running_variance[j], moments.unbiased_variance(), c.momentum);
}

// out = fma(x, scale, shift) with scale = weight / deviation, shift = fma(-mean, scale, bias).
inline void normalize_rows(const tmk_batch_norm &c, const float *mean, const float *inverse) {
  parallel(c.pool, chunks_of(c.rows), [&](int64_t chunk, int) {
    const int64_t first = chunk * kChunkRows, last = least(first + kChunkRows, c.rows);
    for (int64_t column = 0; column < c.width; column += kColumns) {
      const int64_t count = least(kColumns, c.width - column);
      float scale[kColumns], shift[kColumns];
      for (int64_t j = 0; j < count; j++) {
        const int64_t i = column + j;
        const tmk::Normalization normal(c.weight ? c.weight[i] : 1.0f, c.bias ? c.bias[i] : 0.0f,
                                        mean[i], inverse[i]);
        scale[j] = normal.scale;
        shift[j] = normal.shift;
      }
      for (int64_t row = first; row < last; row++) {
        const float *in = c.in + row * c.width + column;
        float *out = c.out + row * c.width + column;
        for (int64_t j = 0; j < count; j++)
          out[j] = tmk::canonical(tmk::fma(in[j], scale[j], shift[j]));
      }
    }
  });
}

// dx = fma(scale, dy, fma(slope, x, level)), from the sums of dy and of dy (x - mean).
inline void normalize_gradients(const tmk_batch_norm &c, const float *sums, const float *products) {
  const float share = 1.0f / static_cast<float>(c.rows);
  parallel(c.pool, chunks_of(c.rows), [&](int64_t chunk, int) {
    const int64_t first = chunk * kChunkRows, last = least(first + kChunkRows, c.rows);
    for (int64_t column = 0; column < c.width; column += kColumns) {
      const int64_t count = least(kColumns, c.width - column);
      float scale[kColumns], slope[kColumns], level[kColumns];
      for (int64_t j = 0; j < count; j++) {
        const int64_t i = column + j;
        const tmk::NormalizationGradient back(c.weight ? c.weight[i] : 1.0f, c.mean[i],
                                              c.inverse[i], sums[i], products[i], share);
        scale[j] = back.scale;
        slope[j] = back.slope;
        level[j] = back.level;
      }
      for (int64_t row = first; row < last; row++) {
        const int64_t place = row * c.width + column;
        for (int64_t j = 0; j < count; j++)
          c.out[place + j] = tmk::canonical(
              tmk::fma(scale[j], c.gradient[place + j],
                       tmk::fma(slope[j], c.in[place + j], level[j])));
      }
    }
  });
}

// Two sums of every chunk, and of all.
struct NormMemory {
  float *partial, *sums, *products;
  NormMemory(const tmk_batch_norm &c, Workspace &space)
      : partial(space.part<float>(2 * chunks_of(c.rows) * c.width)),
        sums(space.part<float>(c.width)),
        products(space.part<float>(c.width)) {}
};

inline uint64_t norm_workspace(const tmk_batch_norm &c) {
  if (!valid(c)) return 0;
  Workspace space;
  NormMemory(c, space);
  return space.needed();
}

}  // namespace

uint64_t TMK_ENTRY(batch_norm_workspace)(const tmk_batch_norm *c) { return norm_workspace(*c); }

int TMK_ENTRY(batch_norm)(const tmk_batch_norm *call) {
  const tmk_batch_norm &c = *call;
  if (!valid(c) || (c.running_mean && !c.running_variance)) return TMK_BAD_ARGUMENT;
  Workspace space(c.workspace);
  float *partial = NormMemory(c, space).partial;
  if (!space.held()) return TMK_SMALL_WORKSPACE;
  const FloatState state;
  parallel(c.pool, chunks_of(c.rows), [&](int64_t chunk, int) {
    const int64_t first = chunk * kChunkRows, last = least(first + kChunkRows, c.rows);
    float *to = partial + 2 * chunk * c.width;
    for (int64_t column = 0; column < c.width; column += kColumns)
      chunk_moments(c, first, last, column, least(kColumns, c.width - column), to + column,
                    to + c.width + column);
  });
  for (int64_t j = 0; j < c.width; j++) finish_moments(c, partial, j);
  normalize_rows(c, c.mean, c.inverse);
  return TMK_OK;
}

uint64_t TMK_ENTRY(batch_norm_inference_workspace)(const tmk_batch_norm *) { return 0; }

int TMK_ENTRY(batch_norm_inference)(const tmk_batch_norm *call) {
  const tmk_batch_norm &c = *call;
  if (!valid(c)) return TMK_BAD_ARGUMENT;
  const FloatState state;
  normalize_rows(c, c.mean, c.inverse);
  return TMK_OK;
}

uint64_t TMK_ENTRY(batch_norm_gradient_workspace)(const tmk_batch_norm *c) {
  return norm_workspace(*c);
}

int TMK_ENTRY(batch_norm_gradient)(const tmk_batch_norm *call) {
  const tmk_batch_norm &c = *call;
  if (!valid(c) || !c.gradient || !c.weight_gradient || !c.bias_gradient) return TMK_BAD_ARGUMENT;
  Workspace space(c.workspace);
  const NormMemory memory(c, space);
  if (!space.held()) return TMK_SMALL_WORKSPACE;
  const FloatState state;
  sum_columns<2>(c.pool, c.rows, c.width, memory.partial,
                 [&](int64_t row, int64_t column, int64_t count, float(&sums)[2][kColumns]) {
                   const float *x = c.in + row * c.width + column;
                   const float *g = c.gradient + row * c.width + column;
                   const float *mean = c.mean + column;
                   for (int64_t j = 0; j < count; j++) {
                     sums[0][j] = sums[0][j] + g[j];
                     sums[1][j] = tmk::fma(g[j], x[j] - mean[j], sums[1][j]);
                   }
                 });
  fold_columns<2>(memory.partial, chunks_of(c.rows), c.width, 0, memory.sums);
  fold_columns<2>(memory.partial, chunks_of(c.rows), c.width, 1, memory.products);
  normalize_gradients(c, memory.sums, memory.products);
  for (int64_t j = 0; j < c.width; j++) {
    c.bias_gradient[j] = memory.sums[j];
    c.weight_gradient[j] = tmk::canonical(memory.products[j] * c.inverse[j]);
  }
  return TMK_OK;
}

#endif
