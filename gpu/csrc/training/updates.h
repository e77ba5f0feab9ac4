// Optimizers, element by element, and the gradient of a table that rows were taken from; one text for
// every instruction set.
#ifndef TM_UPDATES_H
#define TM_UPDATES_H

#include "columns.h"

#include "../shapes/updates.h"

namespace {

constexpr int64_t kUpdateGrain = 16384;

inline bool valid(const tmk_update &c) {
  return counts(c.count) && c.weights && c.gradient && c.first;
}

inline bool valid(const tmk_scatter &c) {
  return counts(c.count, c.width) && counts(c.rows, c.width) && c.in && c.indices && c.out;
}

inline bool in_range(const tmk_scatter &c) {
  for (int64_t i = 0; i < c.count; i++)
    if (c.indices[i] < 0 || c.indices[i] >= c.rows) return false;
  return true;
}

// Where each row's positions start, and the positions, ascending within a row.
struct Positions {
  int64_t *starts, *positions;
  Positions(const tmk_scatter &c, Workspace &space)
      : starts(space.part<int64_t>(c.rows + 1)), positions(space.part<int64_t>(c.count)) {}

  void sort(const tmk_scatter &c) const {
    for (int64_t row = 0; row <= c.rows; row++) starts[row] = 0;
    for (int64_t i = 0; i < c.count; i++) starts[c.indices[i] + 1]++;
    for (int64_t row = 0; row < c.rows; row++) starts[row + 1] += starts[row];
    for (int64_t i = 0; i < c.count; i++) positions[starts[c.indices[i]]++] = i;
    for (int64_t row = c.rows; row > 0; row--) starts[row] = starts[row - 1];
    starts[0] = 0;
  }
};

inline void sum_rows(const tmk_scatter &c, const Positions &at, int64_t row) {
  float *out = c.out + row * c.width;
  for (int64_t j = 0; j < c.width; j++) out[j] = 0.0f;
  for (int64_t i = at.starts[row]; i < at.starts[row + 1]; i++) {
    const float *in = c.in + at.positions[i] * c.width;
    for (int64_t j = 0; j < c.width; j++) out[j] = out[j] + in[j];
  }
  for (int64_t j = 0; j < c.width; j++) out[j] = tmk::canonical(out[j]);
}

}  // namespace

uint64_t TMK_ENTRY(scatter_workspace)(const tmk_scatter *c) {
  if (!valid(*c)) return 0;
  Workspace space;
  Positions(*c, space);
  return space.needed();
}

int TMK_ENTRY(scatter)(const tmk_scatter *call) {
  const tmk_scatter &c = *call;
  if (!valid(c)) return TMK_BAD_ARGUMENT;
  if (!in_range(c)) return TMK_BAD_INDEX;
  Workspace space(c.workspace);
  const Positions positions(c, space);
  if (!space.held()) return TMK_SMALL_WORKSPACE;
  const FloatState state;
  positions.sort(c);
  parallel(c.pool, c.rows, [&](int64_t row, int) { sum_rows(c, positions, row); });
  return TMK_OK;
}

int TMK_ENTRY(sgd)(const tmk_update *call) {
  if (!valid(*call)) return TMK_BAD_ARGUMENT;
  const FloatState state;
  parallel_ranges(call->pool, call->count, kUpdateGrain, [&](int64_t first, int64_t last, int) {
    const tmk_update c = *call;  // a copy nobody can change, so that loops become vectors
    for (int64_t i = first; i < last; i++) tmk::sgd_step(c, i);
  });
  return TMK_OK;
}

int TMK_ENTRY(adamw)(const tmk_update *call) {
  if (!valid(*call) || !call->second) return TMK_BAD_ARGUMENT;
  const FloatState state;
  parallel_ranges(call->pool, call->count, kUpdateGrain, [&](int64_t first, int64_t last, int) {
    const tmk_update c = *call;
    for (int64_t i = first; i < last; i++) tmk::adamw_step(c, i);
  });
  return TMK_OK;
}

// out[i, j] = in[i, j] + bias[j].
int TMK_ENTRY(add_bias)(const tmk_rows *call) {
  const tmk_rows &c = *call;
  if (!valid(c) || !c.bias) return TMK_BAD_ARGUMENT;
  const FloatState state;
  parallel_ranges(c.pool, c.rows, kChunkRows, [&](int64_t first, int64_t last, int) {
    for (int64_t i = first; i < last; i++)
      for (int64_t j = 0; j < c.width; j++)
        c.out[i * c.width + j] = tmk::canonical(c.in[i * c.width + j] + c.bias[j]);
  });
  return TMK_OK;
}

uint64_t TMK_ENTRY(column_sums_workspace)(const tmk_rows_gradient *c) {
  if (!valid(*c)) return 0;
  Workspace space;
  space.part<float>(chunks_of(c->rows) * c->width);
  return space.needed();
}

int TMK_ENTRY(column_sums)(const tmk_rows_gradient *call) {
  const tmk_rows_gradient &c = *call;
  if (!valid(c) || !c.bias_gradient) return TMK_BAD_ARGUMENT;
  Workspace space(c.workspace);
  float *partial = space.part<float>(chunks_of(c.rows) * c.width);
  if (!space.held()) return TMK_SMALL_WORKSPACE;
  const FloatState state;
  sum_columns<1>(c.pool, c.rows, c.width, partial,
                 [&](int64_t row, int64_t column, int64_t count, float(&sums)[1][kColumns]) {
                   const float *g = c.gradient + row * c.width + column;
                   for (int64_t j = 0; j < count; j++) sums[0][j] = sums[0][j] + g[j];
                 });
  fold_columns<1>(partial, chunks_of(c.rows), c.width, 0, c.bias_gradient);
  return TMK_OK;
}

#endif
