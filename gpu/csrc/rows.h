// Operations that are one plain loop: every instruction set compiles the same text.
#ifndef ROWS_H
#define ROWS_H

#include "chain241.h"

namespace {

inline int scale_rows(uint8_t *matrix, const uint8_t *factors, int64_t rows, int64_t width) {
  if (!fits(rows) || !fits(width) || !matrix || !factors) return TMK_BAD_ARGUMENT;
  for (int64_t i = 0; i < rows; i++) {
    uint8_t *row = matrix + i * width;
    for (int64_t j = 0; j < width; j++)
      row[j] = static_cast<uint8_t>(unsigned{row[j]} * factors[i] % kModulus);
  }
  return TMK_OK;
}

inline int is_canonical(const uint8_t *data, uint64_t count) {
  uint8_t largest = 0;  // no early way out: the loop without branches runs at memory speed
  for (uint64_t i = 0; i < count; i++) largest = data[i] > largest ? data[i] : largest;
  return largest < kModulus;
}

}  // namespace

#endif
