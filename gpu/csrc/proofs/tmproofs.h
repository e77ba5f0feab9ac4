// The C interface of the kernels for proofs: arithmetic in E = F_241[x] / (x^16 - 7).
//
// Loaded by gpu/proofs/chain241/native.py with ctypes. An element is 16 bytes, byte i the coefficient
// of x^i, each at most 240; a table is elements one after the other. Every operation exists once per
// instruction set, as tmk_<isa>_proofs_<operation>, and all give the same bytes. They keep no state
// and allocate nothing. Operands are canonical, `out` overlaps none of them, and rows are 1..65536:
// the caller sees to it. A change of any signature raises TMK_PROOFS_ABI.
#ifndef TMPROOFS_H
#define TMPROOFS_H

#include <stdint.h>

#define TMK_PROOFS_ABI 2

#define TMK_EXPORT extern "C" __attribute__((visibility("default")))

TMK_EXPORT int tmk_proofs_abi(void);

// The instruction sets this build has and this machine runs, best first, separated by spaces.
TMK_EXPORT const char *tmk_proofs_isas(void);

#ifdef TMK_ISA  // the compiler's flags say which

#define TMK_PROOFS_JOINED(isa, operation) tmk_##isa##_proofs_##operation
#define TMK_PROOFS_NAMED(isa, operation) TMK_PROOFS_JOINED(isa, operation)
#define TMK_PROOFS(operation) TMK_PROOFS_NAMED(TMK_ISA, operation)

// out = a b
TMK_EXPORT void TMK_PROOFS(multiply)(const uint8_t *a, const uint8_t *b, uint8_t *out);

// out = p(point) for p of degree 2 with p(0) + p(1) = claim; message: p(0), the coefficient of x^2
TMK_EXPORT void TMK_PROOFS(claim)(const uint8_t *claim, const uint8_t *message,
                                  const uint8_t *point, uint8_t *out);

// out[k] = eq(point, k), k = 0 .. 2^variables - 1; the first coordinate belongs to the highest bit
TMK_EXPORT void TMK_PROOFS(equality)(const uint8_t *point, int64_t variables, uint8_t *out);

// out[k] = table[k] factor
TMK_EXPORT void TMK_PROOFS(scale)(const uint8_t *table, int64_t rows, const uint8_t *factor,
                                  uint8_t *out);

// out[k] = weights[k] table[k], weights in F_241
TMK_EXPORT void TMK_PROOFS(weigh)(const uint8_t *table, int64_t rows, const uint8_t *weights,
                                  uint8_t *out);

// out[k] = a first[k] + b second[k]
TMK_EXPORT void TMK_PROOFS(combine)(const uint8_t *first, const uint8_t *a, const uint8_t *second,
                                    const uint8_t *b, int64_t rows, uint8_t *out);

// out = sum of left[k] right[k]
TMK_EXPORT void TMK_PROOFS(inner)(const uint8_t *left, const uint8_t *right, int64_t rows,
                                  uint8_t *out);

// out = sum of vector[k] table[k], vector in F_241
TMK_EXPORT void TMK_PROOFS(evaluate)(const uint8_t *vector, const uint8_t *table, int64_t rows,
                                     uint8_t *out);

// The sum over k of left[k] right[k] over all pairs of tables, a bit of k at a time, the highest
// first. `tables` are the left and the right one of each pair, each of so many rows, an even number;
// rows times pairs are 131,072 at most.

// message = sum of left[k] right[k] over the lower halves, then that of the halves' differences
TMK_EXPORT void TMK_PROOFS(message)(const uint8_t *const *tables, int64_t pairs, int64_t rows,
                                    uint8_t *message);

// out[t][k] = tables[t][k] + challenge (tables[t][k + half] - tables[t][k]), k < half = rows / 2, and
// out[t] may be tables[t]; then the message of out, zeros if that is one row
TMK_EXPORT void TMK_PROOFS(bind)(const uint8_t *const *tables, int64_t pairs, int64_t rows,
                                 const uint8_t *challenge, uint8_t *const *out, uint8_t *message);

#endif

#endif
