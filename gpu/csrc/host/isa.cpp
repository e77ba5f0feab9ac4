// What was built, and what of it this machine can run.
#include "isas.h"

#include "../tmkernels.h"

int tmk_abi(void) { return TMK_ABI; }

const char *tmk_isas(void) { return runnable_isas(); }

uint64_t tmk_size(int structure) {
  constexpr uint64_t kSizes[] = {
      sizeof(tmk_product), sizeof(tmk_expansion), sizeof(tmk_residues), sizeof(tmk_gemm),
      sizeof(tmk_packing), sizeof(tmk_linear),    sizeof(tmk_elements), sizeof(tmk_rows),
      sizeof(tmk_rope),    sizeof(tmk_gather),    sizeof(tmk_best),     sizeof(tmk_cast),
      sizeof(tmk_random),  sizeof(tmk_cache),     sizeof(tmk_append),   sizeof(tmk_attention),
      sizeof(tmk_reading), sizeof(tmk_convolution),   sizeof(tmk_pooling),  sizeof(tmk_batch_norm),
      sizeof(tmk_rows_gradient), sizeof(tmk_cross_entropy), sizeof(tmk_scatter),
      sizeof(tmk_update), sizeof(tmk_attention_gradient)};
  constexpr int kCount = sizeof kSizes / sizeof *kSizes;
  return structure >= 0 && structure < kCount ? kSizes[structure] : 0;
}
