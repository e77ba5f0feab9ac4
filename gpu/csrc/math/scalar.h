// What the maths is made of, for one float: the operations whose result IEEE 754 fixes to the bit,
// and moves between a float and its bits. lanes.h of an instruction set declares the same names for
// vectors, and the functions of this folder are templates over either ("R" is a float or a vector
// of floats, "N" its unsigned words). The same text is compiled by the host's compiler and by NVRTC.
//
// Rules of this folder: + - * / sqrt and explicit fma only; no contraction (-ffp-contract=off,
// -fmad=false); no function of libm; minima, maxima and branches are `choose`; whatever is cast to
// an integer was clamped before. A change that changes bits raises the versions in docs/kernels.md.
//
// Everything is in unnamed namespaces: a linker could otherwise take the copy that was compiled for
// a newer instruction set.
#ifndef TM_MATH_SCALAR_H
#define TM_MATH_SCALAR_H

#ifdef __CUDACC_RTC__
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
typedef unsigned short uint16_t;
typedef unsigned char uint8_t;
typedef signed char int8_t;
#else
#include <stdint.h>
#endif

#ifdef __CUDACC__
#define TM_FN __device__ __forceinline__
#else
#define TM_FN inline __attribute__((always_inline))
#endif

namespace tmk {
namespace {

#ifdef __CUDA_ARCH__

TM_FN uint32_t to_bits(float x) { return __float_as_uint(x); }
TM_FN float from_bits(uint32_t bits) { return __uint_as_float(bits); }
TM_FN float fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
TM_FN float square_root(float x) { return __fsqrt_rn(x); }

#else

TM_FN uint32_t to_bits(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits;
}

TM_FN float from_bits(uint32_t bits) {
  float x;
  __builtin_memcpy(&x, &bits, sizeof x);
  return x;
}

TM_FN float square_root(float x) { return __builtin_sqrtf(x); }

#if defined(__FMA__) || defined(__aarch64__)
TM_FN float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#else
// Without the instruction: the product is exact in double, the sum is rounded to odd there, and the
// one rounding to float that follows is then the right one (Boldo and Melquiond, "Emulation of a
// FMA and correctly rounded sums: proved algorithms using rounding to odd", 2008).
inline float fma(float a, float b, float c) {
  const double product = static_cast<double>(a) * static_cast<double>(b), addend = c;
  double sum = product + addend;
  const double part = sum - product;
  const double error = (product - (sum - part)) + (addend - part);
  uint64_t bits;
  __builtin_memcpy(&bits, &sum, sizeof bits);
  const bool finite = (bits >> 52 & 0x7ff) != 0x7ff;
  if (finite && error != 0.0 && (bits & 1) == 0) {
    bits += (error > 0) == (sum > 0) ? 1 : -1;
    __builtin_memcpy(&sum, &bits, sizeof sum);
  }
  return static_cast<float>(sum);
}
#endif

#endif  // __CUDA_ARCH__

TM_FN float choose(bool condition, float yes, float no) { return condition ? yes : no; }
TM_FN uint32_t choose(bool condition, uint32_t yes, uint32_t no) { return condition ? yes : no; }

// The words as signed numbers, exactly when they are below 2^24.
TM_FN float to_float(uint32_t words) { return static_cast<float>(static_cast<int32_t>(words)); }

// Arithmetic shift of the words as signed numbers.
TM_FN uint32_t shifted_right(uint32_t words, int by) {
  return static_cast<uint32_t>(static_cast<int32_t>(words) >> by);
}

}  // namespace
}  // namespace tmk

#endif
