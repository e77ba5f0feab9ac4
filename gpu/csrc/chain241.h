// Arithmetic of the field F_241 that the instruction sets of chain241 share.
//
// Everything here is in an unnamed namespace: an inline function with external linkage could be
// taken by the linker from the AVX2 object and run on a machine without it.
#ifndef CHAIN241_H
#define CHAIN241_H

#include <stdint.h>
#include <string.h>

#include "tmkernels.h"

namespace {

constexpr int kModulus = 241;
constexpr int kHalf = 120;           // centred residues are -120..120
constexpr int64_t kMaxSize = 65536;  // sums stay within 120*120*65536 + 240*240 < 2^31

// The centred residue of a byte. Bytes over 240 are no residues; they are taken mod 241.
inline int centred(int residue) { return residue > kHalf ? residue - kModulus : residue; }

inline int modulo(int32_t sum) {
  const int remainder = sum % kModulus;
  return remainder < 0 ? remainder + kModulus : remainder;
}

// Element of a stream from its word: floor(values * word / 2^32) is the high half of one product.
inline uint8_t mapped(uint32_t word, uint32_t values, uint32_t lowest) {
  return static_cast<uint8_t>(lowest + (static_cast<uint64_t>(word) * values >> 32));
}

inline bool fits(int64_t size) { return size >= 1 && size <= kMaxSize; }

inline bool valid(const tmk_product &p) {
  return fits(p.rows) && fits(p.inner) && fits(p.columns) && p.left && p.right && p.out &&
         p.left_stride >= p.inner && p.right_stride >= p.columns && p.out_stride >= p.columns &&
         !p.column == !p.row;
}

inline bool valid(const tmk_expansion &e) {
  constexpr uint64_t kMaxElements = uint64_t{1} << 36;  // the block counter has 32 bits
  return e.key && e.out && e.values >= 1 && e.lowest + e.values <= 256 &&
         e.first <= kMaxElements && e.count <= kMaxElements - e.first;
}

// Hands out aligned parts of a workspace. With no memory behind it, it only counts them.
class Workspace {
 public:
  Workspace() : start_(0), size_(0) {}
  explicit Workspace(const tmk_product &p)
      : start_(reinterpret_cast<uintptr_t>(p.workspace)), size_(p.workspace_size) {}

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

}  // namespace

#endif
