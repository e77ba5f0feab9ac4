// Operations on rows.
#include "rows.h"

#include "../best.h"
#include "../casts.h"
#include "../reading.h"

namespace {

void softmax(const float *in, float *out, int64_t width) {
  const float most = tmk::largest(in, width);
  for (int64_t i = 0; i < width; i++) out[i] = tmk::exp(in[i] - most);
  const float sum = row_sum(width, [=](float lane, int64_t i) { return lane + out[i]; });
  const float factor = 1.0f / sum;
  for (int64_t i = 0; i < width; i++) out[i] = tmk::canonical(out[i] * factor);
}

void rmsnorm(const tmk_rows &c, const float *in, float *out) {
  const float squares =
      row_sum(c.width, [=](float lane, int64_t i) { return tmk::fma(in[i], in[i], lane); });
  const float mean = squares / static_cast<float>(c.width);
  const float factor = tmk::reciprocal_root(mean + c.epsilon);
  for (int64_t i = 0; i < c.width; i++) {
    const float scaled = in[i] * factor;
    out[i] = tmk::canonical(c.weight ? scaled * c.weight[i] : scaled);
  }
}

void layernorm(const tmk_rows &c, const float *in, float *out) {
  const float size = static_cast<float>(c.width);
  const float mean =
      row_sum(c.width, [=](float lane, int64_t i) { return lane + in[i]; }) / size;
  const float squares = row_sum(c.width, [=](float lane, int64_t i) {
    const float distance = in[i] - mean;
    return tmk::fma(distance, distance, lane);
  });
  const float factor = tmk::reciprocal_root(squares / size + c.epsilon);
  for (int64_t i = 0; i < c.width; i++) {
    const float scaled = (in[i] - mean) * factor;
    const float weight = c.weight ? c.weight[i] : 1.0f, bias = c.bias ? c.bias[i] : 0.0f;
    out[i] = tmk::canonical(tmk::fma(scaled, weight, bias));
  }
}

template <typename Operation>
int each_row(const tmk_rows &c, Operation operation) {
  if (!valid(c)) return TMK_BAD_ARGUMENT;
  const FloatState state;
  parallel(c.pool, c.rows, [&](int64_t i, int) { operation(c.in + i * c.width, i); });
  return TMK_OK;
}

}  // namespace

int tmk_baseline_softmax(const tmk_rows *call) {
  return each_row(*call, [=](const float *in, int64_t i) {
    softmax(in, call->out + i * call->width, call->width);
  });
}

int tmk_baseline_rmsnorm(const tmk_rows *call) {
  return each_row(*call, [=](const float *in, int64_t i) {
    rmsnorm(*call, in, call->out + i * call->width);
  });
}

int tmk_baseline_layernorm(const tmk_rows *call) {
  return each_row(*call, [=](const float *in, int64_t i) {
    layernorm(*call, in, call->out + i * call->width);
  });
}

int tmk_baseline_row_sums(const tmk_rows *call) {
  return each_row(*call, [=](const float *in, int64_t i) {
    const float sum =
        row_sum(call->width, [=](float lane, int64_t j) { return lane + in[j]; });
    call->out[i] = tmk::canonical(sum);
  });
}

int tmk_baseline_best(const tmk_best *call) { return best_of_rows(*call); }

int tmk_baseline_cast(const tmk_cast *call) { return cast_elements(*call); }

int tmk_baseline_read(const tmk_reading *call) { return read_words(*call); }
