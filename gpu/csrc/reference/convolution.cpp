// Convolutions and their gradients; ../convolution.h has the definition.
#include "../convolution.h"

uint64_t tmk_baseline_conv2d_workspace(const tmk_convolution *) { return 0; }

int tmk_baseline_conv2d(const tmk_convolution *call) {
  if (!valid(*call)) return TMK_BAD_ARGUMENT;
  const FloatState state;
  conv2d_entries(*call);
  return TMK_OK;
}

uint64_t tmk_baseline_conv2d_input_workspace(const tmk_convolution *) { return 0; }

int tmk_baseline_conv2d_input(const tmk_convolution *call) {
  if (!valid(*call)) return TMK_BAD_ARGUMENT;
  const FloatState state;
  conv2d_input_entries(*call);
  return TMK_OK;
}

uint64_t tmk_baseline_conv2d_weights_workspace(const tmk_convolution *) { return 0; }

int tmk_baseline_conv2d_weights(const tmk_convolution *call) {
  if (!valid(*call)) return TMK_BAD_ARGUMENT;
  const FloatState state;
  conv2d_weights_entries(*call);
  return TMK_OK;
}
