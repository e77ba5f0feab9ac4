#include "../rows.h"

int tmk_baseline_chain241_scale_rows(uint8_t *matrix, const uint8_t *factors, int64_t rows,
                                     int64_t width) {
  return scale_rows(matrix, factors, rows, width);
}

int tmk_baseline_chain241_is_canonical(const uint8_t *data, uint64_t count) {
  return is_canonical(data, count);
}
