// Operands of a tile of floats that come in aligned fours: a quarter of the reads, and what is laid
// out as shared memory has it goes there by itself.
#ifndef TM_CUDA_FOURS_H
#define TM_CUDA_FOURS_H

#include "float_tile.h"

namespace tmk {
namespace {

// A matrix whose neighbours come in aligned fours. Beyond the last of the outer ones it is read again;
// what comes of that is not stored.
template <bool kInnerTogether>
struct FoursMatrix;

template <>
struct FoursMatrix<true> {
  static constexpr bool kGaps = false;
  static constexpr int kFours = kFloatInner / 4, kRows = kFloatThreads / kFours;
  const float *own[2];
  Four fetched[2];

  TM_FN FoursMatrix(const float *data, int64_t step, int64_t outer, int64_t first) {
#pragma unroll
    for (int i = 0; i < 2; i++)
      own[i] = data + smaller_of(first + threadIdx.x / kFours + i * kRows, outer - 1) * step +
               threadIdx.x % kFours * 4;
  }
  TM_FN void start(int left, FloatSide &) {
    const bool there = static_cast<int>(threadIdx.x) % kFours * 4 < left;
#pragma unroll
    for (int i = 0; i < 2; i++) {
      if (left == kFloatInner)
        fetched[i] = *reinterpret_cast<const Four *>(own[i]);
      else
        fetched[i] = there ? *reinterpret_cast<const Four *>(own[i]) : Four{};
      own[i] += kFloatInner;
    }
  }
  TM_FN void finish(FloatSide &side) const {
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int e = 0; e < 4; e++)
        side.at[threadIdx.x % kFours * 4 + e][threadIdx.x / kFours + i * kRows] = fetched[i].at[e];
  }
};

template <>
struct FoursMatrix<false> {
  static constexpr bool kGaps = false;
  static constexpr int kFours = kFloatTile / 4, kRows = kFloatThreads / kFours;
  const float *own[2];
  int64_t step;

  TM_FN FoursMatrix(const float *data, int64_t step, int64_t outer, int64_t first) : step(step) {
#pragma unroll
    for (int i = 0; i < 2; i++)
      own[i] = data + smaller_of(first + threadIdx.x % kFours * 4, outer - 4) +
               (threadIdx.x / kFours + i * kRows) * step;
  }
  TM_FN void start(int left, FloatSide &side) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int inner = threadIdx.x / kFours + i * kRows;
      float *to = &side.at[inner][threadIdx.x % kFours * 4];
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
