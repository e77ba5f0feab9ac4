// Arithmetic of the field F_241 that all instruction sets share.
#ifndef TM_FIELD_H
#define TM_FIELD_H

#include <stdint.h>
#include <string.h>

#include "../tmkernels.h"

namespace tmk {
namespace {

constexpr int kModulus = 241;
constexpr int kHalf = 120;           // centred residues are -120..120
constexpr int64_t kMaxSize = 65536;  // sums stay within 120*120*65536 + 240*240 < 2^31

// The two kinds of numbers that integer products are made of.
struct Residues {};  // bytes mod 241
struct Bytes {};     // signed bytes as they are

// The centred residue of a byte. Bytes over 240 are no residues; they are taken mod 241.
inline int centred(int residue) { return residue > kHalf ? residue - kModulus : residue; }

inline int modulo(int32_t sum) {
  const int remainder = sum % kModulus;
  return remainder < 0 ? remainder + kModulus : remainder;
}

// Element of a stream from its word: floor(values * word / 2^32) is the high half of one product.
inline uint8_t mapped(uint32_t word, uint32_t values, uint32_t lowest) {
  return static_cast<uint8_t>(lowest + (static_cast<uint64_t>(word) * values >> 32));
}

inline bool fits(int64_t size) { return size >= 1 && size <= kMaxSize; }

inline bool valid(const tmk_product &p) {
  return fits(p.rows) && fits(p.inner) && fits(p.columns) && p.left && p.right && p.out &&
         p.left_stride >= p.inner && p.right_stride >= p.columns && p.out_stride >= p.columns &&
         !p.column == !p.row;
}

inline bool valid(const tmk_expansion &e) {
  constexpr uint64_t kMaxElements = uint64_t{1} << 36;  // the block counter has 32 bits
  return e.key && e.out && e.values >= 1 && e.lowest + e.values <= 256 &&
         e.first <= kMaxElements && e.count <= kMaxElements - e.first;
}

}  // namespace
}  // namespace tmk

#endif
