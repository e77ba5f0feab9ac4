// Memory an operation uses while it runs. The caller gives it, having asked how much is needed:
// kernels allocate nothing.
#ifndef TM_WORKSPACE_H
#define TM_WORKSPACE_H

#include <stdint.h>

#include "../tmkernels.h"

namespace {

// Hands out aligned parts. With no memory behind it, it only counts them.
class Workspace {
 public:
  Workspace() : start_(0), size_(0) {}
  explicit Workspace(const tmk_memory &memory)
      : start_(reinterpret_cast<uintptr_t>(memory.address)), size_(memory.size) {}

  template <typename T>
  T *part(int64_t count) {
    const uintptr_t aligned = (start_ + used_ + kAlignment - 1) / kAlignment * kAlignment;
    used_ = aligned - start_ + count * sizeof(T);
    return reinterpret_cast<T *>(aligned);
  }
  // Enough wherever the memory starts.
  uint64_t needed() const { return used_ + kAlignment - 1; }
  bool held() const { return start_ && used_ <= size_; }

 private:
  static constexpr uintptr_t kAlignment = 64;
  uintptr_t start_;
  uint64_t size_, used_ = 0;
};

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

constexpr int64_t rounded_up(int64_t size, int64_t unit) { return (size + unit - 1) / unit * unit; }

}  // namespace

#endif
