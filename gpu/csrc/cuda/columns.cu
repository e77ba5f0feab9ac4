// Sums over the rows of each column, in the order C256 over rows, and the normalization that needs
// them: csrc/training/columns.h and batch_norm.h are the definitions. A thread makes a chunk of a
// column; then one to each column puts the chunks together.
#include "cuda/calls.h"
#include "cuda/device.h"
#include "math/moments.h"

namespace {

constexpr int kThreads = 256;
constexpr int64_t kChunkRows = 256;

TM_FN int64_t thread_number() { return int64_t{blockIdx.x} * kThreads + threadIdx.x; }

// A chunk of a column: the places of its first element and behind its last, `width` apart.
struct Chunk {
  int64_t number, column, rows, width;

  TM_FN Chunk(int64_t all_rows, int64_t width)
      : number(thread_number() / width), column(thread_number() % width), width(width) {
    rows = tmk::smaller_of(kChunkRows, all_rows - number * kChunkRows);
  }
  TM_FN bool there() const { return rows > 0; }

  // function(row, place)
  template <typename Function>
  TM_FN void each(Function function) const {
    const int64_t first = number * kChunkRows;
    for (int64_t row = first; row < first + rows; row++) function(row, row * width + column);
  }
};

// parts[chunk][2][width]
TM_FN void store(const Chunk &chunk, float *parts, float first, float second) {
  parts[2 * chunk.number * chunk.width + chunk.column] = first;
  parts[(2 * chunk.number + 1) * chunk.width + chunk.column] = second;
}

// Sum number `which` of all chunks of a column.
TM_FN float folded(const float *parts, int64_t rows, int64_t width, int64_t column, int which) {
  float sum = 0.0f;
  for (int64_t chunk = 0; chunk * kChunkRows < rows; chunk++)
    sum = sum + parts[(2 * chunk + which) * width + column];
  return tmk::canonical(sum);
}

}  // namespace

// Of a bias: the second of the two sums is not used.
TM_KERNEL(column_chunks, kThreads, tmk_norm_gradient) {
  const Chunk chunk(call.rows.rows, call.rows.width);
  if (!chunk.there()) return;
  float sum = 0.0f;
  chunk.each([&](int64_t, int64_t at) { sum = sum + call.rows.gradient[at]; });
  store(chunk, call.parts, 0.0f, sum);
}

// Of the weight and the bias of a norm of rows.
TM_KERNEL(norm_chunks, kThreads, tmk_norm_gradient) {
  const tmk_rows_gradient &c = call.rows;
  const Chunk chunk(c.rows, c.width);
  if (!chunk.there()) return;
  float weight = 0.0f, bias = 0.0f;
  chunk.each([&](int64_t row, int64_t at) {
    const float distance = call.centred ? c.in[at] - call.means[row] : c.in[at];
    weight = tmk::fma(c.gradient[at], distance * call.factors[row], weight);
    bias = bias + c.gradient[at];
  });
  store(chunk, call.parts, weight, bias);
}

TM_KERNEL(fold_columns, kThreads, tmk_norm_gradient) {
  const tmk_rows_gradient &c = call.rows;
  const int64_t column = thread_number();
  if (column >= c.width) return;
  if (c.weight_gradient)
    c.weight_gradient[column] = folded(call.parts, c.rows, c.width, column, 0);
  if (c.bias_gradient) c.bias_gradient[column] = folded(call.parts, c.rows, c.width, column, 1);
}

// The mean of a chunk and its squared distances.
TM_KERNEL(moment_chunks, kThreads, tmk_column_norm) {
  const tmk_batch_norm &c = call.norm;
  const Chunk chunk(c.rows, c.width);
  if (!chunk.there()) return;
  float sum = 0.0f, squares = 0.0f;
  chunk.each([&](int64_t, int64_t at) { sum = sum + c.in[at]; });
  const float mean = sum * (1.0f / static_cast<float>(chunk.rows));
  chunk.each([&](int64_t, int64_t at) {
    const float distance = c.in[at] - mean;
    squares = tmk::fma(distance, distance, squares);
  });
  store(chunk, call.parts, mean, squares);
}

TM_KERNEL(merge_moments, kThreads, tmk_column_norm) {
  const tmk_batch_norm &c = call.norm;
  const int64_t column = thread_number();
  if (column >= c.width) return;
  tmk::Moments moments = {0.0, 0.0, 0.0};
  for (int64_t first = 0; first < c.rows; first += kChunkRows) {
    const float *part = call.parts + 2 * (first / kChunkRows) * c.width + column;
    moments.merge(part[0], part[c.width], tmk::smaller_of(kChunkRows, c.rows - first));
  }
  const float mean = tmk::canonical(static_cast<float>(moments.mean));
  c.mean[column] = mean;
  c.inverse[column] = moments.inverse(c.epsilon);
  if (!c.running_mean) return;
  c.running_mean[column] = tmk::moved(c.running_mean[column], mean, c.momentum);
  c.running_variance[column] =
      tmk::moved(c.running_variance[column], moments.unbiased_variance(), c.momentum);
}

TM_KERNEL(normalize_columns, kThreads, tmk_column_norm) {
  const tmk_batch_norm &c = call.norm;
  const int64_t i = thread_number(), column = i % c.width;
  if (i / c.width >= c.rows) return;
  const tmk::Normalization normal(c.weight ? c.weight[column] : 1.0f,
                                  c.bias ? c.bias[column] : 0.0f, c.mean[column],
                                  c.inverse[column]);
  c.out[i] = tmk::canonical(tmk::fma(c.in[i], normal.scale, normal.shift));
}

// Of the gradient, and of its products with the distances from the mean.
TM_KERNEL(gradient_chunks, kThreads, tmk_column_norm) {
  const tmk_batch_norm &c = call.norm;
  const Chunk chunk(c.rows, c.width);
  if (!chunk.there()) return;
  const float mean = c.mean[chunk.column];
  float sum = 0.0f, product = 0.0f;
  chunk.each([&](int64_t, int64_t at) {
    sum = sum + c.gradient[at];
    product = tmk::fma(c.gradient[at], c.in[at] - mean, product);
  });
  store(chunk, call.parts, sum, product);
}

TM_KERNEL(fold_gradients, kThreads, tmk_column_norm) {
  const tmk_batch_norm &c = call.norm;
  const int64_t column = thread_number();
  if (column >= c.width) return;
  const float sum = folded(call.parts, c.rows, c.width, column, 0);
  const float product = folded(call.parts, c.rows, c.width, column, 1);
  call.products[column] = product;
  c.bias_gradient[column] = sum;
  c.weight_gradient[column] = tmk::canonical(product * c.inverse[column]);
}

TM_KERNEL(normalize_gradients, kThreads, tmk_column_norm) {
  const tmk_batch_norm &c = call.norm;
  const int64_t i = thread_number(), column = i % c.width;
  if (i / c.width >= c.rows) return;
  const tmk::NormalizationGradient back(c.weight ? c.weight[column] : 1.0f, c.mean[column],
                                        c.inverse[column], c.bias_gradient[column],
                                        call.products[column],
                                        1.0f / static_cast<float>(c.rows));
  c.out[i] = tmk::canonical(
      tmk::fma(back.scale, c.gradient[i], tmk::fma(back.slope, c.in[i], back.level)));
}
