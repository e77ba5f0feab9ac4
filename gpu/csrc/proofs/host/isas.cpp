// What was built, and what of it this machine can run.
#include "../tmproofs.h"

int tmk_proofs_abi(void) { return TMK_PROOFS_ABI; }

const char *tmk_proofs_isas(void) {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2")) return "avx2 baseline";
#endif
  return "baseline";
}
