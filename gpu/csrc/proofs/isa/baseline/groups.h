// Groups of the baseline: plain loops over one number at a time, from 16 to 32 bits, which every
// compiler turns into the vectors that it has. The other instruction sets' headers have the same
// names.
#ifndef PROOFS_GROUPS_H
#define PROOFS_GROUPS_H

#include <stdint.h>

namespace {
typedef uint8_t Bytes __attribute__((vector_size(16)));
}

#include "../../block.h"

namespace {

constexpr int kTogether = 1;  // neighbours in a group
constexpr int kAtOnce = 1;    // elements whose sums fit the registers
constexpr int kSlice = 4;     // sums that fit the registers

struct Sums {
  int32_t at[kDegree];
};
struct Right {
  int16_t at[kDegree];
};

inline Sums everywhere(int32_t start) {
  Sums sums;
  for (int j = 0; j < kDegree; j++) sums.at[j] = start;
  return sums;
}

// sums += left · right, one group of the left with sixteen of the right.
inline void dot(Sums &sums, uint32_t left, const Right &right) {
  for (int j = 0; j < kDegree; j++) sums.at[j] += static_cast<int16_t>(left) * right.at[j];
}

// The same coefficient of kTogether rows side by side.
inline Block interleaved(const Block &rows) { return rows; }

inline void left_groups(const Block &numbers, uint32_t *groups) {
  for (int i = 0; i < kBytes; i++) groups[i] = numbers.bytes()[i];
}

// Of signed bytes.
inline void right_groups(const Block &numbers, Right *groups) {
  for (int r = 0; r < kRows; r++)
    for (int j = 0; j < kDegree; j++)
      groups[r].at[j] = static_cast<int8_t>(numbers.bytes()[r * kDegree + j]);
}

// Of four times sixteen sums that began with kStart.
inline Block reduced(const Sums *sums) {
  Block out;
  for (int r = 0; r < kRows; r++)
    for (int j = 0; j < kDegree; j++)
      out.bytes()[r * kDegree + j] = narrow(static_cast<uint16_t>(folded(sums[r].at[j])));
  return out;
}

}  // namespace

#endif
