// Convolution and its input's gradient; ../convolution.h says what they are.
#include "gather.h"
#include "pixelwise.h"

namespace tmk {
namespace {

Gather forward(const tmk_convolution &c, const Layer &layer, int64_t group) {
  Gather gather{forward_axis(c, 0, c.height, layer.height),
                forward_axis(c, 1, c.width, layer.width),
                {c.image + group * layer.inputs, 0, 0, 0, c.height * c.width * c.channels,
                 c.width * c.channels, c.channels},
                {{c.weights + group * layer.outputs, c.filters, 1}, layer.inputs * c.filters},
                c.result + group * layer.outputs,
                layer.height * layer.width * c.filters,
                layer.width * c.filters,
                c.filters,
                c.batch,
                layer.inputs,
                layer.outputs,
                c.kernel[1],
                layer.taps};
  gather.flatten();
  return gather;
}

// The gradient of the pixels top, top + stride, ... by left, left + stride, ...
Gather backward(const tmk_convolution &c, const Layer &layer, int64_t group, int64_t top,
                int64_t left) {
  const int64_t tap_step = layer.inputs * c.filters;
  Gather gather{backward_axis(c, 0, layer.height, c.height, top),
                backward_axis(c, 1, layer.width, c.width, left),
                {c.result + group * layer.outputs, 0, 0, 0, layer.height * layer.width * c.filters,
                 layer.width * c.filters, c.filters},
                {{c.weights + group * layer.outputs + (layer.taps - 1) * tap_step, 1, c.filters},
                 -tap_step},
                c.image + group * layer.inputs,
                c.height * c.width * c.channels,
                c.width * c.channels,
                c.channels,
                c.batch,
                layer.outputs,
                layer.inputs,
                c.kernel[1],
                layer.taps};
  gather.flatten();
  return gather;
}

int64_t backward_copy(const tmk_convolution &c) {
  const Layer layer(c);
  int64_t most = 0;
  for (int64_t top = 0; top < least(c.stride[0], c.height); top++)
    for (int64_t left = 0; left < least(c.stride[1], c.width); left++) {
      const int64_t size = backward(c, layer, 0, top, left).copy_size();
      if (size > most) most = size;
    }
  return most;
}

GatherMemory memory_of(const Gather &gather, int64_t copy_size, tmk_pool *pool,
                       Workspace &space) {
  float *packed = space.part<float>(gather.panels() * gather.panel_size());
  return {packed, space.part<float>(copy_size * threads_of(pool)), copy_size};
}

GatherMemory forward_memory(const tmk_convolution &c, Workspace &space) {
  const Gather gather = forward(c, Layer(c), 0);
  return memory_of(gather, gather.copy_size(), c.pool, space);
}

GatherMemory backward_memory(const tmk_convolution &c, Workspace &space) {
  return memory_of(backward(c, Layer(c), 0, 0, 0), backward_copy(c), c.pool, space);
}

bool run_forward(const tmk_convolution &c, const GatherMemory &memory) {
  const Layer layer(c);
  for (int64_t group = 0; group < c.groups; group++)
    if (!run_gather(forward(c, layer, group), c.pool, memory)) return false;
  return true;
}

bool run_backward(const tmk_convolution &c, const GatherMemory &memory) {
  const Layer layer(c);
  for (int64_t group = 0; group < c.groups; group++)
    for (int64_t top = 0; top < least(c.stride[0], c.height); top++)
      for (int64_t left = 0; left < least(c.stride[1], c.width); left++)
        if (!run_gather(backward(c, layer, group, top, left), c.pool, memory)) return false;
  return true;
}

}  // namespace
}  // namespace tmk

uint64_t TMK_ENTRY(conv2d_workspace)(const tmk_convolution *call) {
  if (!valid(*call)) return 0;
  if (tmk::is_pixelwise(*call)) return tmk::Pixelwise(*call, tmk::kResult).needed();
  Workspace space;
  tmk::forward_memory(*call, space);
  return space.needed();
}

int TMK_ENTRY(conv2d)(const tmk_convolution *call) {
  const tmk_convolution &c = *call;
  if (!valid(c)) return TMK_BAD_ARGUMENT;
  if (tmk::is_pixelwise(c)) return tmk::Pixelwise(c, tmk::kResult).run();
  Workspace space(c.workspace);
  const tmk::GatherMemory memory = tmk::forward_memory(c, space);
  if (!space.held()) return TMK_SMALL_WORKSPACE;
  const FloatState state;
  if (!tmk::run_forward(c, memory)) conv2d_entries(c);
  return TMK_OK;
}

uint64_t TMK_ENTRY(conv2d_input_workspace)(const tmk_convolution *call) {
  if (!valid(*call)) return 0;
  if (tmk::is_pixelwise(*call)) return tmk::Pixelwise(*call, tmk::kImage).needed();
  Workspace space;
  tmk::backward_memory(*call, space);
  return space.needed();
}

int TMK_ENTRY(conv2d_input)(const tmk_convolution *call) {
  const tmk_convolution &c = *call;
  if (!valid(c)) return TMK_BAD_ARGUMENT;
  if (tmk::is_pixelwise(c)) return tmk::Pixelwise(c, tmk::kImage).run();
  Workspace space(c.workspace);
  const tmk::GatherMemory memory = tmk::backward_memory(c, space);
  if (!space.held()) return TMK_SMALL_WORKSPACE;
  const FloatState state;
  if (!tmk::run_backward(c, memory)) conv2d_input_entries(c);
  return TMK_OK;
}
