// The C interface of the kernels: plain C, loaded by gpu/cpu/library.py with ctypes.
//
// Every operation exists once per instruction set, as tmk_<isa>_<operation>, and every instruction
// set gives the same bytes. The caller picks one of tmk_isas(). No operation keeps state, allocates,
// throws, or touches memory outside the buffers it is given. A change of any signature raises TMK_ABI.
#ifndef TMKERNELS_H
#define TMKERNELS_H

#include <stdint.h>

#define TMK_ABI 1

#define TMK_EXPORT extern "C" __attribute__((visibility("default")))

// What an operation returns.
enum { TMK_OK = 0, TMK_BAD_ARGUMENT = 1, TMK_SMALL_WORKSPACE = 2 };

// out = left · diag(scale) · right + column ⊗ row over F_241, in canonical residues 0..240.
// Matrices are row-major bytes; a stride is the distance of two rows. Absent operands are null;
// column and row come together.
struct tmk_product {
  const uint8_t *left;    // rows x inner
  const uint8_t *right;   // inner x columns
  uint8_t *out;           // rows x columns, overlaps no operand
  const uint8_t *scale;   // inner entries or null
  const uint8_t *column;  // rows entries or null
  const uint8_t *row;     // columns entries or null
  int64_t left_stride, right_stride, out_stride;
  int64_t rows, inner, columns;  // each 1..65536
  void *workspace;               // memory the operation may use while it runs
  uint64_t workspace_size;       // in bytes, at least what ..._product_workspace says
};

// Elements first .. first+count-1 of a ChaCha20 stream: lowest + floor(values * word / 2^32).
struct tmk_expansion {
  const uint8_t *key;  // 32 bytes
  uint8_t *out;        // count bytes
  uint64_t first, count;
  uint32_t stream, step;      // the first two words of the nonce
  uint32_t values, lowest;    // 241, 0: residues; 240, 1: residues without zero
};

#define TMK_DECLARE(isa)                                                                        \
  TMK_EXPORT int tmk_##isa##_chain241_product(const tmk_product *arguments);                    \
  /* Bytes of workspace this product needs; pointers and strides are not looked at. */           \
  TMK_EXPORT uint64_t tmk_##isa##_chain241_product_workspace(const tmk_product *arguments);      \
  TMK_EXPORT int tmk_##isa##_chain241_expand(const tmk_expansion *arguments);                   \
  /* matrix[i, j] = matrix[i, j] * factors[i] mod 241, in place, rows of `width` bytes. */      \
  TMK_EXPORT int tmk_##isa##_chain241_scale_rows(uint8_t *matrix, const uint8_t *factors,       \
                                                 int64_t rows, int64_t width);                  \
  /* 1 when all bytes are canonical residues (at most 240), else 0. */                          \
  TMK_EXPORT int tmk_##isa##_chain241_is_canonical(const uint8_t *data, uint64_t count)

TMK_DECLARE(baseline);
#ifdef __x86_64__
TMK_DECLARE(avx2);
#endif

TMK_EXPORT int tmk_abi(void);

// The instruction sets this build has and this machine runs, best first, separated by spaces.
TMK_EXPORT const char *tmk_isas(void);

#endif
