// What a gather reads, writes and is cut into.
#ifndef TM_GATHER_SHAPE_H
#define TM_GATHER_SHAPE_H

#include "panels.h"
#include "taps.h"

namespace tmk {
namespace {

constexpr int64_t kBlockPixels = 448, kFewestPixels = 192;
constexpr int64_t kBlockElements = 65536;  // of a tap, that stay in the second cache
constexpr int64_t kFewPixels = 8, kFewImages = 4;

// Pixels of images, channels first .. of a group; data is of pixel (b0, y0, x0).
struct Source {
  const float *data;
  int64_t b0, y0, x0;
  int64_t image, row, pixel;  // distances
  const float *at(int64_t b, int64_t y, int64_t x) const {
    return data + (b - b0) * image + (y - y0) * row + (x - x0) * pixel;
  }
};

// The weights as the right side of the product, tap by tap: a matrix of inner elements x columns.
struct TapWeights {
  View first;
  int64_t tap_step;
  View tap(int64_t number) const {
    return {first.data + number * tap_step, first.row, first.column};
  }
};

// Part of what is written: images, and row pixels of both axes.
struct Block {
  int64_t b, images, y, height, x, width;
};

struct Gather {
  Axis y, x;
  Source source;
  TapWeights weights;
  float *out;
  int64_t out_image, out_row, out_pixel;
  int64_t batch, inner, columns, kernel_width, taps;

  // A kernel of one pixel sees one row of them.
  void flatten() {
    if (!y.plain() || !x.plain()) return;
    x.size = x.count = batch * y.count * x.count;
    y.size = y.count = batch = 1;
  }
  bool over_images() const { return x.count <= kFewPixels && batch >= kFewImages; }
  bool copies() const { return !over_images() && x.padded(); }
  int64_t block_pixels() const {
    const int64_t fitting = over_images() ? kBlockPixels : kBlockElements / inner;
    return fitting < kFewestPixels ? kFewestPixels : least(fitting, kBlockPixels);
  }
  int64_t depth() const { return taps * inner; }
  int64_t chunks() const { return (depth() + kChunk - 1) / kChunk; }
  int64_t panels() const { return (columns + kPanel - 1) / kPanel; }
  int64_t panel_size() const { return depth() * kPanel; }
  int64_t tap(int i, int j) const { return y.number[i] * kernel_width + x.number[j]; }
  float *place(int64_t b, int64_t row, int64_t column) const {
    return out + b * out_image + (y.out_first + row * y.out_step) * out_row +
           (x.out_first + column * x.out_step) * out_pixel;
  }

  // How many images and row pixels a block has at most.
  Block largest() const {
    Block block{};
    const int64_t pixels = block_pixels(), rows = over_images() ? kTileRows : 1;
    block.width = Pieces(x.count, over_images() ? x.count : pixels).longest();
    const int64_t heights = least(pixels / block.width / rows, y.count);
    block.height = Pieces(y.count, heights < 1 ? 1 : heights).longest();
    const bool whole = block.width == x.count && block.height == y.count;
    const int64_t images = whole ? pixels / (block.width * block.height) : rows;
    block.images = Pieces(batch, images < 1 ? 1 : least(images, batch)).longest();
    return block;
  }
  // What of the source a block meets along an axis, whether it is there or not.
  static int64_t reach(const Axis &axis, int64_t count) {
    return axis.taps ? (count - 1) * axis.step + axis.offset[axis.taps - 1] - axis.offset[0] + 1
                     : 0;
  }
  int64_t copy_size() const {
    if (!copies()) return 0;
    const Block block = largest();
    const int64_t rows = block.images * least(reach(y, block.height), y.size);
    return rounded_up(rows * reach(x, block.width) * inner, kLine);
  }
};

}  // namespace
}  // namespace tmk

#endif
