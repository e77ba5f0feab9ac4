// Operands of a tile of floats that come in aligned fours: a quarter of the reads, and what is laid
// out as shared memory has it goes there by itself.
#ifndef TM_CUDA_FOURS_H
#define TM_CUDA_FOURS_H

#include "float_tile.h"

namespace tmk {
namespace {

// A thread's fours of 16 inner elements, two rows of them where inner elements lie together, else two
// inner elements of four outer ones.
constexpr int kInnerFours = kFloatInner / 4, kFourRows = kFloatThreads / kInnerFours;
constexpr int kOuterFours = kFloatTile / 4, kFourSteps = kFloatThreads / kOuterFours;

// Fours of inner elements, turned as shared memory has them.
TM_FN void keep_turned(const Four fours[2], FloatSide &side) {
#pragma unroll
  for (int i = 0; i < 2; i++)
#pragma unroll
    for (int e = 0; e < 4; e++)
      side.at[threadIdx.x % kInnerFours * 4 + e][threadIdx.x / kInnerFours + i * kFourRows] =
          fours[i].at[e];
}

// A matrix whose neighbours come in aligned fours. Beyond the last of the outer ones it is read again;
// what comes of that is not stored.
template <bool kInnerTogether>
struct FoursMatrix;

template <>
struct FoursMatrix<true> {
  static constexpr bool kGaps = false;
  const float *own[2];
  Four fetched[2];

  TM_FN FoursMatrix(const float *data, int64_t step, int64_t outer, int64_t first) {
#pragma unroll
    for (int i = 0; i < 2; i++)
      own[i] = data + smaller_of(first + threadIdx.x / kInnerFours + i * kFourRows, outer - 1) * step +
               threadIdx.x % kInnerFours * 4;
  }
  TM_FN void start(int left, FloatSide &) {
    const bool there = static_cast<int>(threadIdx.x) % kInnerFours * 4 < left;
#pragma unroll
    for (int i = 0; i < 2; i++) {
      if (left == kFloatInner)
        fetched[i] = *reinterpret_cast<const Four *>(own[i]);
      else
        fetched[i] = there ? *reinterpret_cast<const Four *>(own[i]) : Four{};
      own[i] += kFloatInner;
    }
  }
  TM_FN void finish(FloatSide &side) const { keep_turned(fetched, side); }
};

template <>
struct FoursMatrix<false> {
  static constexpr bool kGaps = false;
  const float *own[2];
  int64_t step;

  TM_FN FoursMatrix(const float *data, int64_t step, int64_t outer, int64_t first) : step(step) {
#pragma unroll
    for (int i = 0; i < 2; i++)
      own[i] = data + smaller_of(first + threadIdx.x % kOuterFours * 4, outer - 4) +
               (threadIdx.x / kOuterFours + i * kFourSteps) * step;
  }
  TM_FN void start(int left, FloatSide &side) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int inner = threadIdx.x / kOuterFours + i * kFourSteps;
      float *to = &side.at[inner][threadIdx.x % kOuterFours * 4];
      if (inner < left)
        start_copy(to, own[i]);
      else
        *reinterpret_cast<Four *>(to) = Four{};
      own[i] += kFloatInner * step;
    }
  }
  TM_FN void finish(FloatSide &) const {}
};

}  // namespace
}  // namespace tmk

#endif
