// The gradients of attention, one text, of vectors or of single numbers, after the rows.h of kernels
// or of reference. Head by head: P = exp(S - largest) (1 / sum) of the scores S = (scale Q) K^T, with 0
// for keys that are not seen; D = sum of dO O over a row, in the order L128; dS = P (dO V^T - D);
// dQ = (dS K) scale, dK = dS^T (scale Q), dV = P^T dO. Products have the order C256, heads that share
// keys are added in ascending order.
#ifndef TM_TRAINING_ATTENTION_H
#define TM_TRAINING_ATTENTION_H

#include "../checks.h"
#include "../host/parallel.h"
#include "../host/workspace.h"
#include "../math/unary.h"

namespace tmk {
namespace {

inline bool valid_attention(const tmk_attention_gradient &c) {
  return counts(c.rows, c.heads) && counts(c.rows * c.heads, c.size) && counts(c.key_count) &&
         counts(c.key_count * c.heads, c.size) && counts(c.rows, c.key_count) &&
         c.key_heads >= 1 && c.heads % c.key_heads == 0 && c.first >= 0 &&
         c.first < kMostElements && c.queries && c.keys && c.values && c.out && c.gradient &&
         c.statistics && c.query_gradient && c.key_gradient && c.value_gradient;
}

// A matrix by its strides, one head of a tensor, or its transpose.
struct Matrix {
  float *data;
  int64_t rows, columns, row, column;
  Matrix transposed() const { return {data, columns, rows, column, row}; }
};

class AttentionGradient {
 public:
  AttentionGradient(const tmk_attention_gradient &c, Workspace &space)
      : c_(c),
        scaled_(space.part<float>(c.rows * c.size)),
        powers_(space.part<float>(c.rows * c.key_count)),
        slopes_(space.part<float>(c.rows * c.key_count)),
        more_(space.part<float>(c.key_count * c.size)) {
    Matrix wide{nullptr, c.rows, c.key_count, c.key_count, 1};
    Matrix narrow{nullptr, c.key_count, c.size, c.size, 1};
    Matrix turned{nullptr, c.key_count, c.rows, 1, c.key_count};
    Matrix query{nullptr, c.rows, c.size, c.heads * c.size, 1};
    const tmk_gemm products[] = {gemm(query, narrow.transposed(), wide), gemm(wide, narrow, query),
                                 gemm(turned, query, narrow)};
    for (const tmk_gemm &product : products) {
      const uint64_t size = TMK_ENTRY(gemm_f32_workspace)(&product);
      if (size > size_) size_ = size;
    }
    memory_ = space.part<uint8_t>(static_cast<int64_t>(size_));
  }

  void run() {
    for (int64_t head = 0; head < c_.heads; head++) {
      const Matrix scaled{scaled_, c_.rows, c_.size, c_.size, 1};
      const Matrix powers{powers_, c_.rows, c_.key_count, c_.key_count, 1};
      const Matrix slopes{slopes_, c_.rows, c_.key_count, c_.key_count, 1};
      const Matrix keys = of_key(c_.keys, head), values = of_key(c_.values, head);
      const Matrix gradient = of_row(c_.gradient, head), back = of_row(c_.query_gradient, head);
      each_row([&](int64_t row) { scale(of_row(c_.queries, head), scaled, row); });
      multiply(scaled, keys.transposed(), powers);
      multiply(gradient, values.transposed(), slopes);
      each_row([&](int64_t row) { finish_powers(head, row); });
      each_row([&](int64_t row) { finish_slopes(head, row); });
      add_head(head, powers.transposed(), gradient, c_.value_gradient);
      add_head(head, slopes.transposed(), scaled, c_.key_gradient);
      multiply(slopes, keys, back);
      each_row([&](int64_t row) { scale(back, back, row); });
    }
  }

 private:
  int64_t key_head(int64_t head) const { return head / (c_.heads / c_.key_heads); }
  Matrix of_row(const float *tensor, int64_t head) const {
    return {const_cast<float *>(tensor) + head * c_.size, c_.rows, c_.size, c_.heads * c_.size, 1};
  }
  Matrix of_key(const float *tensor, int64_t head) const {
    return {const_cast<float *>(tensor) + key_head(head) * c_.size, c_.key_count, c_.size,
            c_.key_heads * c_.size, 1};
  }

  template <typename Operation>
  void each_row(Operation operation) const {
    parallel_ranges(c_.pool, c_.rows, 16, [&](int64_t first, int64_t last, int) {
      for (int64_t row = first; row < last; row++) operation(row);
    });
  }

  tmk_gemm gemm(Matrix left, Matrix right, Matrix out) const {
    return {left.data,   right.data,  out.data,  left.rows,    left.columns, right.columns,
            left.row,    left.column, right.row, right.column, out.row,      {memory_, size_},
            c_.pool};
  }
  void multiply(Matrix left, Matrix right, Matrix out) const {
    const tmk_gemm product = gemm(left, right, out);
    TMK_ENTRY(gemm_f32)(&product);
  }

  void scale(Matrix from, Matrix to, int64_t row) const {
    const float *in = from.data + row * from.row;
    const Floats factor = broadcast(c_.scale);
    map_row(c_.size, to.data + row * to.row, [=](int64_t i, int64_t there) {
      return canonical(load_some(in + i, there) * factor);
    });
  }

  void finish_powers(int64_t head, int64_t row) const {
    const float *statistics = c_.statistics + 2 * (row * c_.heads + head);
    float *scores = powers_ + row * c_.key_count;
    const int64_t seen = c_.causal ? least(c_.first + row + 1, c_.key_count) : c_.key_count;
    const Floats most = broadcast(statistics[0]), factor = broadcast(1.0f / statistics[1]);
    map_row(seen, scores, [=](int64_t i, int64_t there) {
      return canonical(exp(load_some(scores + i, there) - most) * factor);
    });
    for (int64_t i = seen; i < c_.key_count; i++) scores[i] = 0.0f;
  }

  void finish_slopes(int64_t head, int64_t row) const {
    const Matrix out = of_row(c_.out, head), gradient = of_row(c_.gradient, head);
    const float *o = out.data + row * out.row, *g = gradient.data + row * gradient.row;
    const Floats level =
        broadcast(row_sum(c_.size, [=](Floats lanes, int64_t i, int64_t there) {
          return fma(load_some(g + i, there), load_some(o + i, there), lanes);
        }));
    const float *power = powers_ + row * c_.key_count;
    float *slope = slopes_ + row * c_.key_count;
    map_row(c_.key_count, slope, [=](int64_t i, int64_t there) {
      return canonical(load_some(power + i, there) * (load_some(slope + i, there) - level));
    });
  }

  // left · right to the gradient of a head of keys, after those of the heads before that share it.
  void add_head(int64_t head, Matrix left, Matrix right, float *gradient) const {
    const Matrix to = of_key(gradient, head);
    if (head % (c_.heads / c_.key_heads) == 0) {
      multiply(left, right, to);
      return;
    }
    multiply(left, right, {more_, c_.key_count, c_.size, c_.size, 1});
    for (int64_t row = 0; row < c_.key_count; row++) {
      float *sum = to.data + row * to.row;
      const float *more = more_ + row * c_.size;
      map_row(c_.size, sum, [=](int64_t i, int64_t there) {
        return canonical(load_some(sum + i, there) + load_some(more + i, there));
      });
    }
  }

  const tmk_attention_gradient &c_;
  float *scaled_, *powers_, *slopes_, *more_;
  uint8_t *memory_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace
}  // namespace tmk

uint64_t TMK_ENTRY(attention_gradient_workspace)(const tmk_attention_gradient *c) {
  if (!tmk::valid_attention(*c)) return 0;
  Workspace space;
  tmk::AttentionGradient(*c, space);
  return space.needed();
}

int TMK_ENTRY(attention_gradient)(const tmk_attention_gradient *call) {
  const tmk_attention_gradient &c = *call;
  if (!tmk::valid_attention(c)) return TMK_BAD_ARGUMENT;
  Workspace space(c.workspace);
  tmk::AttentionGradient gradient(c, space);
  if (!space.held()) return TMK_SMALL_WORKSPACE;
  const FloatState state;
  gradient.run();
  return TMK_OK;
}

#endif
