// The operations of one instruction set, TMK_ISA, under their exported names.
#include "../products.h"

#include "../tmproofs.h"

void TMK_PROOFS(multiply)(const uint8_t *a, const uint8_t *b, uint8_t *out) { scale(a, 1, b, out); }

void TMK_PROOFS(claim)(const uint8_t *claim, const uint8_t *message, const uint8_t *point,
                       uint8_t *out) {
  next_claim(claim, message, point, out);
}

void TMK_PROOFS(equality)(const uint8_t *point, int64_t variables, uint8_t *out) {
  equality(point, variables, out);
}

void TMK_PROOFS(scale)(const uint8_t *table, int64_t rows, const uint8_t *factor, uint8_t *out) {
  scale(table, rows, factor, out);
}

void TMK_PROOFS(weigh)(const uint8_t *table, int64_t rows, const uint8_t *weights, uint8_t *out) {
  weigh(table, rows, weights, out);
}

void TMK_PROOFS(combine)(const uint8_t *first, const uint8_t *a, const uint8_t *second,
                         const uint8_t *b, int64_t rows, uint8_t *out) {
  combine(first, a, second, b, rows, out);
}

void TMK_PROOFS(inner)(const uint8_t *left, const uint8_t *right, int64_t rows, uint8_t *out) {
  inner(left, right, rows, out);
}

void TMK_PROOFS(evaluate)(const uint8_t *vector, const uint8_t *table, int64_t rows,
                          uint8_t *out) {
  evaluate(vector, table, rows, out);
}

void TMK_PROOFS(message)(const uint8_t *const *tables, int64_t pairs, int64_t rows,
                         uint8_t *out) {
  message(tables, pairs, rows, out);
}

void TMK_PROOFS(bind)(const uint8_t *const *tables, int64_t pairs, int64_t rows,
                      const uint8_t *challenge, uint8_t *const *out, uint8_t *next) {
  bind(tables, pairs, rows, challenge, out, next);
}
