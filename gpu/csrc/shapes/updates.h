// One step of an optimizer for one weight.
#ifndef TM_SHAPES_UPDATES_H
#define TM_SHAPES_UPDATES_H

#include "../tmkernels.h"
#include "../math/elements.h"

namespace tmk {
namespace {

// g = fma(decay, w, g); m = fma(momentum, m, g); w = fma(-rate, m, w).
TM_FN void sgd_step(const tmk_update &c, int64_t i) {
  const float gradient = fma(c.decay, c.weights[i], c.gradient[i]);
  const float moment = canonical(fma(c.beta1, c.first[i], gradient));
  c.first[i] = moment;
  c.weights[i] = canonical(fma(-c.rate, moment, c.weights[i]));
}

// m = fma(beta1, m, rest1 g); v = fma(beta2, v, rest2 (g g));
// w = fma(-rate, (m correction1) / (sqrt(v correction2) + epsilon), decay w).
TM_FN void adamw_step(const tmk_update &c, int64_t i) {
  const float g = c.gradient[i];
  const float m = canonical(fma(c.beta1, c.first[i], c.rest1 * g));
  const float v = canonical(fma(c.beta2, c.second[i], c.rest2 * (g * g)));
  c.first[i] = m;
  c.second[i] = v;
  const float size = square_root(v * c.correction2) + c.epsilon;
  const float step = m * c.correction1 / size;
  c.weights[i] = canonical(fma(-c.rate, step, c.decay * c.weights[i]));
}

}  // namespace
}  // namespace tmk

#endif
