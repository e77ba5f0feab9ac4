// Casts of each element: math/narrow.h is the definition.
#include "cuda/device.h"
#include "math/narrow.h"

#define TM_CAST(name, From, To, function)                                      \
  TM_KERNEL(cast_##name, tmk::kElementThreads, tmk_cast) {                     \
    const From *in = static_cast<const From *>(call.in);                       \
    To *out = static_cast<To *>(call.out);                                     \
    tmk::each_element<tmk::kElementThreads, tmk::kElementsEach>(               \
        call.count, [&](int64_t i) { return in[i]; },                          \
        [&](int64_t i, From x) { out[i] = function; });                        \
  }

TM_CAST(f32_bf16, float, uint16_t, tmk::to_bfloat16(x))
TM_CAST(f32_f16, float, uint16_t, tmk::to_float16(x))
TM_CAST(f32_i8, float, int8_t, tmk::to_int8(x))
TM_CAST(f32_i32, float, int32_t, tmk::to_int32(x))
TM_CAST(bf16_f32, uint16_t, float, tmk::canonical(tmk::from_bfloat16(x)))
TM_CAST(f16_f32, uint16_t, float, tmk::from_float16(x))
TM_CAST(i8_f32, int8_t, float, static_cast<float>(x))
TM_CAST(i32_f32, int32_t, float, static_cast<float>(x))
