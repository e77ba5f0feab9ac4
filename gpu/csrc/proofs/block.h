// Four elements side by side, and what is done to each of their bytes. `Bytes` is what one
// instruction takes; whoever includes this says how many.
//
// Everything is in an unnamed namespace, so that the linker cannot mix instruction sets.
#ifndef PROOFS_BLOCK_H
#define PROOFS_BLOCK_H

#include <stdint.h>
#include <string.h>

#include "../residues/field.h"

namespace {

using tmk::kModulus;

constexpr int kDegree = 16;
constexpr int kNonResidue = 7;  // x^16 = 7
constexpr int kRows = 4;
constexpr int kBytes = kRows * kDegree;
constexpr int kPart = sizeof(Bytes);
constexpr int kParts = kBytes / kPart;

struct Block {
  Bytes part[kParts];

  uint8_t *bytes() { return (uint8_t *)part; }
  const uint8_t *bytes() const { return (const uint8_t *)part; }
};

// Up to kBytes bytes, zeros after them.
inline Block load(const uint8_t *from, int64_t bytes) {
  Block block = {};
  if (bytes < kBytes) {
    memcpy(block.part, from, static_cast<size_t>(bytes));
    return block;
  }
  for (int i = 0; i < kParts; i++) memcpy(block.part + i, from + i * kPart, kPart);
  return block;
}

inline void store(const Block &block, uint8_t *to, int64_t bytes) {
  if (bytes < kBytes) {
    memcpy(to, block.part, static_cast<size_t>(bytes));
    return;
  }
  for (int i = 0; i < kParts; i++) memcpy(to + i * kPart, block.part + i, kPart);
}

inline Block difference(const Block &a, const Block &b) {
  Block out;
  for (int i = 0; i < kParts; i++) {
    const Bytes borrowed = (Bytes)(a.part[i] < b.part[i]);
    out.part[i] = a.part[i] - b.part[i] + (borrowed & kModulus);
  }
  return out;
}

inline Block sum(const Block &a, const Block &b) {
  Block out;
  for (int i = 0; i < kParts; i++) {
    const Bytes room = kModulus - b.part[i], over = (Bytes)(a.part[i] >= room);
    out.part[i] = a.part[i] + b.part[i] - (over & kModulus);
  }
  return out;
}

// Signed bytes -120..120.
inline Block centred(const Block &a) {
  Block out;
  for (int i = 0; i < kParts; i++) {
    const Bytes over = (Bytes)(a.part[i] > tmk::kHalf);
    out.part[i] = a.part[i] - (over & kModulus);
  }
  return out;
}

// x mod 241: 34808 = ceil(2^23 / 241) is exact below 69,905.
inline uint8_t narrow(uint16_t x) {
  const uint16_t quotient = static_cast<uint16_t>(x * uint32_t{34808} >> 16) >> 7;
  return static_cast<uint8_t>(x - quotient * kModulus);
}

// 4096 = 17 * 241 - 1: x = 4096 high + low is congruent to low - high, which is within 0..4546 for x
// within -1,843,425..0, and less than 2^19 + 2^12 in size for all x.
constexpr int kFoldBits = 12;
constexpr int32_t kFold = 1 << kFoldBits;

inline int32_t folded(int32_t x) { return (x & (kFold - 1)) - (x >> kFoldBits); }

// What the sums of two elements' products start with, so as to be negative.
constexpr int32_t kLargest = 2 * kDegree * (kModulus - 1) * tmk::kHalf;  // 921,600
constexpr int32_t kStart = -3825 * kModulus;
static_assert(kStart + kLargest <= 0 && kFold - (kStart - kLargest) / kFold < 1 << 15);

}  // namespace

#endif
