// The ChaCha20 block function of RFC 8439, sections 2.1-2.3, written once for scalar words and for
// vectors of words: a `Word` needs +, ^ and rotated<bits>(word).
#ifndef TM_CHACHA20_H
#define TM_CHACHA20_H

#include <stdint.h>
#include <string.h>

namespace tmk {
namespace {

constexpr int kBlockWords = 16;
constexpr uint32_t kConstants[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};

// The state before the rounds, with counter 0: constants, key, counter, nonce (stream, step, 0).
inline void initial_state(uint32_t state[kBlockWords], const uint8_t key[32], uint32_t stream,
                          uint32_t step) {
  memcpy(state, kConstants, sizeof kConstants);
  for (int i = 0; i < 8; i++) {
    const uint8_t *b = key + 4 * i;
    state[4 + i] = b[0] | b[1] << 8 | b[2] << 16 | static_cast<uint32_t>(b[3]) << 24;
  }
  state[12] = 0;
  state[13] = stream;
  state[14] = step;
  state[15] = 0;
}

template <typename Word>
inline void quarter_round(Word &a, Word &b, Word &c, Word &d) {
  a = a + b;
  d = rotated<16>(d ^ a);
  c = c + d;
  b = rotated<12>(b ^ c);
  a = a + b;
  d = rotated<8>(d ^ a);
  c = c + d;
  b = rotated<7>(b ^ c);
}

template <typename Word>
inline void twenty_rounds(Word x[kBlockWords]) {
  for (int i = 0; i < 10; i++) {
    quarter_round(x[0], x[4], x[8], x[12]);
    quarter_round(x[1], x[5], x[9], x[13]);
    quarter_round(x[2], x[6], x[10], x[14]);
    quarter_round(x[3], x[7], x[11], x[15]);
    quarter_round(x[0], x[5], x[10], x[15]);
    quarter_round(x[1], x[6], x[11], x[12]);
    quarter_round(x[2], x[7], x[8], x[13]);
    quarter_round(x[3], x[4], x[9], x[14]);
  }
}

}  // namespace
}  // namespace tmk

#endif
