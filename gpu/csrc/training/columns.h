// Sums over the rows of each column, in the order C256 over rows: one chain per 256 rows from +0,
// chunk sums added in ascending order from +0. Plain loops over neighbouring columns, one text for
// every instruction set; compilers make vectors of them.
#ifndef TM_COLUMNS_H
#define TM_COLUMNS_H

#include "../checks.h"
#include "../host/parallel.h"
#include "../host/workspace.h"

namespace {

constexpr int64_t kChunkRows = 256, kColumns = 64;

inline int64_t chunks_of(int64_t rows) { return (rows + kChunkRows - 1) / kChunkRows; }

// partial[kSums][width] of rows first .. last-1: `add` takes the place of a row's columns, how many
// they are, and the sums so far.
template <int kSums, typename Add>
void chunk_of_columns(int64_t first, int64_t last, int64_t width, float *partial, Add add) {
  for (int64_t column = 0; column < width; column += kColumns) {
    const int64_t count = least(kColumns, width - column);
    float sums[kSums][kColumns] = {};
    for (int64_t row = first; row < last; row++) add(row, column, count, sums);
    for (int s = 0; s < kSums; s++)
      for (int64_t j = 0; j < count; j++) partial[s * width + column + j] = sums[s][j];
  }
}

// out[width] = sum number `which` of all chunks.
template <int kSums>
void fold_columns(const float *partial, int64_t chunks, int64_t width, int which, float *out) {
  for (int64_t j = 0; j < width; j++) out[j] = 0.0f;
  for (int64_t chunk = 0; chunk < chunks; chunk++)
    for (int64_t j = 0; j < width; j++)
      out[j] = out[j] + partial[(chunk * kSums + which) * width + j];
  for (int64_t j = 0; j < width; j++) out[j] = tmk::canonical(out[j]);
}

// The sums of all chunks, shared among threads.
template <int kSums, typename Add>
void sum_columns(tmk_pool *pool, int64_t rows, int64_t width, float *partial, Add add) {
  parallel(pool, chunks_of(rows), [&](int64_t chunk, int) {
    const int64_t first = chunk * kChunkRows;
    chunk_of_columns<kSums>(first, least(first + kChunkRows, rows), width,
                            partial + chunk * kSums * width, add);
  });
}

inline bool valid(const tmk_rows_gradient &c) {
  return counts(c.rows, c.width) && c.gradient;
}

}  // namespace

#endif
