// Functions of each element: reference/elements.cpp is the definition.
#include "cuda/device.h"
#include "math/unary.h"

#define TM_UNARY(name)                                                         \
  TM_KERNEL(unary_##name, tmk::kElementThreads, tmk_elements) {                \
    tmk::each_element<tmk::kElementThreads, tmk::kElementsEach>(               \
        call.count, [&](int64_t i) { return call.left[i]; },                   \
        [&](int64_t i, float x) { call.out[i] = tmk::canonical(tmk::name(x)); }); \
  }
TM_UNARY_FUNCTIONS(TM_UNARY)

namespace {

struct Two {
  float left, right;
};

}  // namespace

#define TM_BINARY(name)                                                              \
  TM_KERNEL(binary_##name, tmk::kElementThreads, tmk_elements) {                     \
    tmk::each_element<tmk::kElementThreads, tmk::kElementsEach>(                     \
        call.count, [&](int64_t i) { return Two{call.left[i], call.right[i]}; },     \
        [&](int64_t i, Two x) { call.out[i] = tmk::canonical(tmk::name(x.left, x.right)); }); \
  }
TM_BINARY_FUNCTIONS(TM_BINARY)
