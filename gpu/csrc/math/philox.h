// Philox4x32-10: random words as a function of a counter and a key (Salmon, Moraes, Dror, Shaw,
// "Parallel random numbers: as easy as 1, 2, 3", 2011). N is a word or a vector of words.
#ifndef TM_MATH_PHILOX_H
#define TM_MATH_PHILOX_H

#include "trigonometric.h"

namespace tmk {
namespace {

constexpr int kPhiloxWords = 4, kPhiloxRounds = 10;

// The high half of a product of words.
TM_FN uint32_t high_half(uint32_t a, uint32_t b) {
  return static_cast<uint32_t>(static_cast<uint64_t>(a) * b >> 32);
}

// The counter's four words become four random words.
template <typename N>
TM_FN void philox(N counter[kPhiloxWords], uint32_t key0, uint32_t key1) {
  for (int round = 0; round < kPhiloxRounds; round++) {
    const N high0 = high_half(counter[0], 0xd2511f53u), low0 = counter[0] * 0xd2511f53u;
    const N high1 = high_half(counter[2], 0xcd9e8d57u), low1 = counter[2] * 0xcd9e8d57u;
    counter[0] = high1 ^ counter[1] ^ key0;
    counter[1] = low1;
    counter[2] = high0 ^ counter[3] ^ key1;
    counter[3] = low0;
    key0 += 0x9e3779b9u;
    key1 += 0xbb67ae85u;
  }
}

// 24 bits of a word: a multiple of 2^-24 in [0, 1).
template <typename N>
TM_FN auto unit_interval(N word) {
  return to_float(word >> 8) * 5.9604644775390625e-8f;
}

// Two standard normal numbers from two words (Box and Muller, 1958): |value| < 5.8.
template <typename N, typename R>
TM_FN void normal_pair(N first, N second, R *cosine, R *sine) {
  const R open = (to_float(first >> 8) + 1.0f) * 5.9604644775390625e-8f;  // (0, 1]
  const R radius = square_root(log(open) * -2.0f);
  const R angle = unit_interval(second) * 6.28318548f;
  *cosine = radius * cos(angle);
  *sine = radius * sin(angle);
}

}  // namespace
}  // namespace tmk

#endif
