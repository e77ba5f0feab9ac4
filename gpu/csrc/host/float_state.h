// The floating-point state that results depend on: rounding to nearest, denormals kept. A library
// that was linked with -ffast-math sets it otherwise for the thread that loads it.
#ifndef TM_FLOAT_STATE_H
#define TM_FLOAT_STATE_H

#include <stdint.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace {

// Sets the state for as long as it lives, then puts back what was there.
class FloatState {
 public:
#if defined(__x86_64__)
  FloatState() : before_(_mm_getcsr()) {
    _mm_setcsr(0x1f80);
    keep_order();
  }
  ~FloatState() {
    keep_order();
    _mm_setcsr(before_);
  }
#elif defined(__aarch64__)
  FloatState() {
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    asm volatile("msr fpcr, %0" : : "r"(uint64_t{0}));
    keep_order();
  }
  ~FloatState() {
    keep_order();
    asm volatile("msr fpcr, %0" : : "r"(before_));
  }
#else
#error "tmkernels: set the rounding mode and the handling of denormals for this architecture"
#endif
  FloatState(const FloatState &) = delete;
  FloatState &operator=(const FloatState &) = delete;

 private:
  // What is computed from memory stays on its side of the change.
  static void keep_order() { asm volatile("" : : : "memory"); }

#ifdef __x86_64__
  unsigned before_;
#else
  uint64_t before_;
#endif
};

}  // namespace

#endif
