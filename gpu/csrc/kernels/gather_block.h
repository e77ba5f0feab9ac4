// A worker's part in a gather: one block and some panels.
#ifndef TM_GATHER_BLOCK_H
#define TM_GATHER_BLOCK_H

#include "gather_tile.h"

namespace tmk {
namespace {

class GatherBlock {
 public:
  GatherBlock(const Gather &gather, const Block &block, const float *packed, float *copies)
      : g_(gather), block_(block), source_(gather.source), packed_(packed) {
    if (g_.copies()) copy_source(copies);
  }

  void run(int64_t first_panel, int64_t last_panel) {
    weights_ = packed_ + first_panel * g_.panel_size();
    for (int64_t panel = first_panel; panel < last_panel; panel++) {
      column_ = panel * kPanel;
      for (int64_t chunk = 0; chunk < g_.chunks(); chunk++) {
        const float *next = weights_ + least(kChunk, g_.depth() - chunk * kChunk) * kPanel;
        Planner planner(g_, source_.row, source_.pixel, chunk);
        ahead_ = next;
        multiply(planner);
        weights_ = next;
      }
    }
  }

 private:
  // The rows of the source that the block meets, with zeros at both ends.
  void copy_source(float *to) {
    const int64_t top = block_.y * g_.y.step + g_.y.offset[0];
    const int64_t bottom = top + Gather::reach(g_.y, block_.height);
    const int64_t left = block_.x * g_.x.step + g_.x.offset[0];
    const int64_t right = left + Gather::reach(g_.x, block_.width);
    const int64_t y0 = within(top, 0, bottom), y1 = within(y0, g_.y.size, bottom);
    const int64_t x0 = within(left, 0, right), x1 = within(x0, g_.x.size, right);
    const Source from = source_;
    source_ = {to, block_.b, y0, left, (y1 - y0) * (right - left) * g_.inner,
               (right - left) * g_.inner, g_.inner};
    for (int64_t b = block_.b; b < block_.b + block_.images; b++)
      for (int64_t y = y0; y < y1; y++) {
        to = zeros(to, (x0 - left) * g_.inner);
        to = copies_of(from.at(b, y, x0), from.pixel, x1 - x0, to);
        to = zeros(to, (right - x1) * g_.inner);
      }
  }

  static int64_t within(int64_t low, int64_t size, int64_t high) {
    return size < low ? low : least(size, high);
  }
  static float *zeros(float *to, int64_t count) {
    for (int64_t i = 0; i < count; i++) to[i] = 0.0f;
    return to + count;
  }
  float *copies_of(const float *from, int64_t pixel, int64_t count, float *to) const {
    if (pixel == g_.inner) {
      memcpy(to, from, count * pixel * sizeof *to);
      return to + count * pixel;
    }
    for (int64_t i = 0; i < count; i++, to += g_.inner)
      memcpy(to, from + i * pixel, g_.inner * sizeof *to);
    return to;
  }

  void multiply(Planner &planner) {
    for (int64_t y = block_.y; y < block_.y + block_.height; y++) {
      const TapRange taps = g_.y.valid(y);
      if (g_.over_images())
        for (int64_t x = block_.x; x < block_.x + block_.width; x++)
          multiply_images(y, x, planner.of(taps, g_.x.valid(x)));
      else
        for (int64_t b = block_.b; b < block_.b + block_.images; b++)
          multiply_row(b, y, planner.of(taps, {0, g_.x.taps}));
    }
  }

  void multiply_images(int64_t y, int64_t x, const Plan &plan) {
    multiply_rows(block_.images, source_.image, g_.out_image, block_.b, y, x, plan);
  }

  void multiply_row(int64_t b, int64_t y, const Plan &plan) {
    multiply_rows(block_.width, g_.x.step * source_.pixel, g_.x.out_step * g_.out_pixel, b, y,
                  block_.x, plan);
  }

  // `count` rows at a distance, from the one of a pixel on.
  void multiply_rows(int64_t count, int64_t step, int64_t out_step, int64_t b, int64_t y,
                     int64_t x, const Plan &plan) {
    if (!plan.needed()) return;
    const Rows rows{source_.at(b, y * g_.y.step, x * g_.x.step), step, g_.place(b, y, x) + column_,
                    out_step};
    const Pieces tiles(count, kTileRows);
    multiply_tiles(rows, tiles.longer, tiles.shorter + 1, plan);
    multiply_tiles(rows.after(tiles.first(tiles.longer)), tiles.pieces - tiles.longer,
                   tiles.shorter, plan);
  }

  void multiply_tiles(const Rows &rows, int64_t tiles, int64_t height, const Plan &plan) {
    if (!tiles) return;
    const GatherTiles multiply = gather_tiles_of<kTileRows>(height);
    if (g_.columns - column_ >= kPanel)
      ahead_ = multiply(rows, tiles, plan, weights_, ahead_);
    else
      for (int64_t t = 0; t < tiles; t++) multiply_narrow(rows.after(t * height), height, plan);
  }

  // The last columns, fewer than a panel.
  void multiply_narrow(const Rows &rows, int64_t height, const Plan &plan) const {
    const int64_t bytes = (g_.columns - column_) * sizeof(float);
    alignas(64) float spare[kTileRows * kPanel];
    for (int64_t r = 0; r < height && !plan.turn.first; r++)
      memcpy(spare + r * kPanel, rows.out + r * rows.out_step, bytes);
    const GatherTiles multiply = gather_tiles_of<kTileRows>(height);
    multiply({rows.left, rows.step, spare, kPanel}, 1, plan, weights_, ahead_);
    for (int64_t r = 0; r < height; r++)
      memcpy(rows.out + r * rows.out_step, spare + r * kPanel, bytes);
  }

  const Gather &g_;
  Block block_;
  Source source_;
  const float *packed_;
  // Of the panel and the chunk that are being multiplied.
  int64_t column_;
  const float *weights_, *ahead_;
};

}  // namespace
}  // namespace tmk

#endif
