// Convolutions and their gradients in the order C256: shapes/convolution.h is the definition. Tiles
// of a product whose left side is gathered; a thread to an entry where groups have few columns.
//
// blockIdx: x is the tile's rows, y its columns, z the group, and the chunk where chunks are made
// apart; then `add_chunks` adds them in their order.
#include "cuda/calls.h"
#include "cuda/gathered_fours.h"

namespace {

// A product for each group: its sizes, and where its first result lies.
struct Grouped {
  int64_t rows, inner, columns, out_row;
  float *out;
};

// How many pieces a group's inner elements are in: chunks where they are made apart, else one.
TM_FN int64_t pieces_of(const tmk_convolving &call, int64_t inner) {
  return call.parts ? tmk::divided_up(inner, tmk::kChunk) : 1;
}

TM_FN int64_t group_of(const tmk_convolving &call, int64_t inner) {
  return blockIdx.z / pieces_of(call, inner);
}

// The first inner element of this block's piece.
TM_FN int64_t first_inner(const tmk_convolving &call, const Grouped &g) {
  return blockIdx.z % pieces_of(call, g.inner) * tmk::kChunk;
}

template <bool kFours, typename Left, typename Right>
TM_FN void multiply(const tmk_convolving &call, const Left &left, const Right &right,
                    const Grouped &g, tmk::Corner corner) {
  __shared__ tmk::FloatStages stages;
  __shared__ tmk::Target to;  // rarely read: registers are for what is multiplied
  const int64_t left_over = g.inner - first_inner(call, g);
  const int64_t inner = call.parts ? tmk::smaller_of(tmk::kChunk, left_over) : left_over;
  if (threadIdx.x == 0) {
    to.out = call.parts ? call.parts + blockIdx.z * (g.rows * g.columns)
                        : g.out + blockIdx.z * g.columns;
    to.out_row = call.parts ? g.columns : g.out_row;
    to.rows = g.rows;
    to.columns = g.columns;
    to.corner = corner;
  }
  tmk::multiply_floats<kFours>(stages, left, right, to, inner);
}

TM_FN tmk::Corner turned_corner() {
  return {int64_t{blockIdx.x} * tmk::kFloatTile, int64_t{blockIdx.y} * tmk::kFloatTile};
}

TM_FN int64_t entry_number() {
  return int64_t{blockIdx.x} * tmk::kElementThreads + threadIdx.x;
}

template <bool kFours>
TM_FN void make_result(const tmk_convolving &call) {
  const tmk_convolution &c = call.convolution;
  const Layer layer(c);
  const Grouped g{layer.pixels, layer.taps * layer.inputs, layer.outputs, c.filters, c.result};
  const int64_t group = group_of(call, g.inner), first = first_inner(call, g);
  const tmk::Corner corner = turned_corner();
  const float *weights = c.weights + first * c.filters + group * layer.outputs;
  if constexpr (kFours) {
    const tmk::FoursPixels<false> left(call, group, corner.row, first);
    const tmk::FoursMatrix<false> right(weights, c.filters, layer.outputs, corner.column);
    multiply<true>(call, left, right, g, corner);
  } else {
    __shared__ tmk::Pixel pixels[tmk::kFloatTile];
    const tmk::GatheredPixels<false> left(c, layer, pixels, group, corner.row, first);
    const tmk::AnyMatrix<false> right(weights, c.filters, layer.outputs, corner.column);
    multiply<false>(call, left, right, g, corner);
  }
}

template <bool kFours>
TM_FN void make_input(const tmk_convolving &call) {
  const tmk_convolution &c = call.convolution;
  const Layer layer(c);
  const Grouped g{c.batch * c.height * c.width, layer.taps * layer.outputs, layer.inputs, c.channels,
                  c.image};
  const int64_t group = group_of(call, g.inner), first = first_inner(call, g);
  const tmk::Corner corner = turned_corner();
  if constexpr (kFours) {
    const tmk::FoursPixels<true> left(call, group, corner.row, first);
    multiply<true>(call, left, tmk::FoursTurned(call, group, corner.column, first), g, corner);
  } else {
    __shared__ tmk::Pixel pixels[tmk::kFloatTile];
    const tmk::GatheredPixels<true> left(c, layer, pixels, group, corner.row, first);
    multiply<false>(call, left, tmk::TurnedWeights(c, layer, group, corner.column, first), g, corner);
  }
}

template <bool kFours>
TM_FN void make_weights(const tmk_convolving &call) {
  const tmk_convolution &c = call.convolution;
  const Layer layer(c);
  const Grouped g{layer.taps * layer.inputs, layer.pixels, layer.outputs, c.filters, c.weights};
  const int64_t group = group_of(call, g.inner), first = first_inner(call, g);
  const tmk::Corner corner = turned_corner();
  const float *result = c.result + first * c.filters + group * layer.outputs;
  if constexpr (kFours) {
    const tmk::FoursTaps left(call, group, corner.row, first);
    const tmk::FoursMatrix<false> right(result, c.filters, layer.outputs, corner.column);
    multiply<true>(call, left, right, g, corner);
  } else {
    __shared__ tmk::Pixel taps[tmk::kFloatTile];
    const tmk::GatheredTaps left(c, layer, taps, group, corner.row, first);
    const tmk::AnyMatrix<false> right(result, c.filters, layer.outputs, corner.column);
    multiply<false>(call, left, right, g, corner);
  }
}

}  // namespace

// `fours`: channels and filters of a group come in aligned fours.
#define TM_CONVOLUTION(name, make)                                                        \
  TM_KERNEL(name, tmk::kFloatThreads, tmk_convolving) { make<false>(call); }              \
  TM_KERNEL_BESIDE(tmk::kFloatBeside, name##_fours, tmk::kFloatThreads, tmk_convolving) { \
    make<true>(call);                                                                     \
  }
TM_CONVOLUTION(conv2d, make_result)
TM_CONVOLUTION(conv2d_input, make_input)
TM_CONVOLUTION(conv2d_weights, make_weights)

// A thread to each entry.
TM_KERNEL(add_chunks, tmk::kElementThreads, tmk_chunk_sums) {
  const int64_t column = entry_number() % call.columns, place = entry_number() / call.columns;
  const int64_t row = place % call.rows, group = place / call.rows;
  if (group >= call.groups) return;
  float total = 0.0f;
  for (int64_t chunk = group * call.chunks; chunk < (group + 1) * call.chunks; chunk++)
    total = total + call.parts[(chunk * call.rows + row) * call.columns + column];
  call.out[row * call.out_row + group * call.columns + column] = tmk::canonical(total);
}

TM_KERNEL(conv2d_entries, tmk::kElementThreads, tmk_convolution) {
  const Layer layer(call);
  const int64_t filter = entry_number() % call.filters, pixel = entry_number() / call.filters;
  const tmk::Pixel p = tmk::pixel_of(pixel, call.batch, layer.height, layer.width);
  if (p.y >= 0)
    call.result[entry_number()] = result_entry(call, layer, p.image, p.y, p.x, filter);
}

TM_KERNEL(conv2d_input_entries, tmk::kElementThreads, tmk_convolution) {
  const Layer layer(call);
  const int64_t channel = entry_number() % call.channels, pixel = entry_number() / call.channels;
  const tmk::Pixel p = tmk::pixel_of(pixel, call.batch, call.height, call.width);
  if (p.y >= 0)
    call.image[entry_number()] = image_entry(call, layer, p.image, p.y, p.x, channel);
}

TM_KERNEL(conv2d_weights_entries, tmk::kElementThreads, tmk_convolution) {
  const Layer layer(call);
  const int64_t filter = entry_number() % call.filters, row = entry_number() / call.filters;
  const int64_t tap = row / layer.inputs;
  if (tap < layer.taps)
    call.weights[entry_number()] = weights_entry(call, layer, tap / call.kernel[1],
                                                 tap % call.kernel[1], row % layer.inputs, filter);
}
