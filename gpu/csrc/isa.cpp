// What was built, and what of it this machine can run.
#include "tmkernels.h"

int tmk_abi(void) { return TMK_ABI; }

const char *tmk_isas(void) {
#ifdef __x86_64__
  // The compiler's check covers both the CPU's flag and the operating system's saving of registers.
  if (__builtin_cpu_supports("avx2")) return "avx2 baseline";
#endif
  return "baseline";
}
