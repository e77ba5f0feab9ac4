// Which of the instruction sets that are built this machine runs, best first, separated by spaces.
#ifndef TM_ISAS_H
#define TM_ISAS_H

namespace {

inline const char *runnable_isas() {
#ifdef __x86_64__
  // The compiler's checks cover both the CPU's flags and the operating system's saving of registers.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512vnni");
  if (avx2 && avx512) return "avx512 avx2 baseline";
  if (avx2) return "avx2 baseline";
#endif
  return "baseline";
}

}  // namespace

#endif
