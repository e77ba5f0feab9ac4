// Operations that are one plain loop: every instruction set compiles the same text.
#ifndef TM_RESIDUE_ROWS_H
#define TM_RESIDUE_ROWS_H

#include "field.h"

namespace tmk {
namespace {

inline int scale_rows(const tmk_residues &c) {
  if (!fits(c.rows) || !fits(c.width) || !c.matrix || !c.factors) return TMK_BAD_ARGUMENT;
  for (int64_t i = 0; i < c.rows; i++) {
    uint8_t *row = c.matrix + i * c.stride;
    for (int64_t j = 0; j < c.width; j++)
      row[j] = static_cast<uint8_t>(unsigned{row[j]} * c.factors[i] % kModulus);
  }
  return TMK_OK;
}

inline uint64_t is_canonical(const tmk_residues &c) {
  uint8_t largest = 0;  // no early way out: the loop without branches runs at memory speed
  for (int64_t i = 0; i < c.rows; i++) {
    const uint8_t *row = c.matrix + i * c.stride;
    for (int64_t j = 0; j < c.width; j++) largest = row[j] > largest ? row[j] : largest;
  }
  return largest < kModulus;
}

}  // namespace
}  // namespace tmk

#endif
