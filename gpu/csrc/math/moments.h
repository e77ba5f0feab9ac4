// Normalization of a column by all its rows: chunks merged in double precision, so that nothing
// cancels (Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample
// variances", 1979), and what becomes of a number.
#ifndef TM_MATH_MOMENTS_H
#define TM_MATH_MOMENTS_H

#include "elements.h"

namespace tmk {
namespace {

#ifdef __CUDA_ARCH__
TM_FN double square_root_of(double x) { return __dsqrt_rn(x); }
#else
TM_FN double square_root_of(double x) { return __builtin_sqrt(x); }
#endif

// Of the rows so far; squares are of the distances from the mean.
struct Moments {
  double mean, squares, rows;

  TM_FN void merge(float chunk_mean, float chunk_squares, int64_t chunk_rows) {
    const double more = static_cast<double>(chunk_rows);
    const double distance = chunk_mean - mean, total = rows + more, share = more / total;
    const double step = distance * share, spread = distance * distance * rows;
    mean = mean + step;
    squares = squares + chunk_squares;
    squares = squares + spread * share;
    rows = total;
  }
  TM_FN float unbiased_variance() const {
    return static_cast<float>(squares / (rows > 1.0 ? rows - 1.0 : 1.0));
  }
  TM_FN float inverse(float epsilon) const {
    const double deviation = square_root_of(squares / rows + static_cast<double>(epsilon));
    return canonical(static_cast<float>(1.0 / deviation));
  }
};

TM_FN float moved(float from, float to, float momentum) {
  return canonical(fma(momentum, to - from, from));
}

// x becomes fma(x, scale, shift).
struct Normalization {
  float scale, shift;

  TM_FN Normalization(float weight, float bias, float mean, float inverse)
      : scale(weight * inverse), shift(fma(-mean, scale, bias)) {}
};

// The gradient g of what x became is fma(scale, g, fma(slope, x, level)) for x; sum and product are
// those of g and of g (x - mean), and share is 1 / rows.
struct NormalizationGradient {
  float scale, slope, level;

  TM_FN NormalizationGradient(float weight, float mean, float inverse, float sum, float product,
                              float share) {
    scale = weight * inverse;
    const float weight_gradient = product * inverse;
    slope = -((scale * inverse) * (weight_gradient * share));
    level = fma(-slope, mean, -(scale * (sum * share)));
  }
};

}  // namespace
}  // namespace tmk

#endif
