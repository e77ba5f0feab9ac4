// Convolution as a product whose left side is never made: the rows of a tile are pixels at a constant
// distance, read in place by the taps' offsets. Where rows reach into padding, the pixels of a block
// are first copied beside zeros; images of few pixels have the batch as rows instead, so that no row
// meets padding that another does not.
#ifndef TM_GATHER_H
#define TM_GATHER_H

#include "gather_tile.h"
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
  View tap(int64_t number, int64_t inner) const {
    return {first.at(inner, 0) + number * tap_step, first.row, first.column};
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
  int64_t chunks() const { return (taps * inner + kChunk - 1) / kChunk; }

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
    return block.images * least(reach(y, block.height), y.size) * reach(x, block.width) * inner;
  }
};

// A worker's part in a gather: one block and some panels.
class GatherBlock {
 public:
  GatherBlock(const Gather &gather, const Block &block, float *memory, bool *odd)
      : g_(gather), block_(block), source_(gather.source), packed_(memory), odd_(odd) {
    if (g_.copies()) copy_source(memory + kChunk * kPanel);
  }

  void run(int64_t first_panel, int64_t last_panel) {
    for (int64_t panel = first_panel; panel < last_panel; panel++)
      for (int64_t chunk = 0; chunk < g_.chunks(); chunk++) {
        pack(panel, chunk);
        multiply(panel, chunk);
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

  // The part of a tap's inner elements that is in the chunk: first .. last-1.
  void part(int64_t tap, int64_t chunk, int64_t *first, int64_t *last) const {
    const int64_t start = chunk * kChunk - tap * g_.inner;
    *first = start < 0 ? 0 : start;
    *last = least(start + kChunk, g_.inner);
  }

  void pack(int64_t panel, int64_t chunk) {
    const int64_t column = panel * kPanel, width = least(kPanel, g_.columns - column);
    for (int i = 0; i < g_.y.taps; i++)
      for (int j = 0; j < g_.x.taps; j++) {
        const int64_t tap = g_.y.number[i] * g_.kernel_width + g_.x.number[j];
        int64_t first, last;
        part(tap, chunk, &first, &last);
        if (first >= last) continue;
        float *to = packed_ + (tap * g_.inner + first - chunk * kChunk) * kPanel;
        pack_panel(g_.weights.tap(tap, first), column, width, last - first, to);
        if (g_.copies() && !all_finite(to, (last - first) * kPanel)) *odd_ = true;
      }
  }

  static bool all_finite(const float *data, int64_t count) {
    Ints odd = {};
    for (int64_t i = 0; i < count; i += kLanes)
      odd = odd | ~(magnitude(load(data + i)) < infinity<Floats>());
    return !any(odd);
  }

  // What tiles with the same taps read of a chunk.
  struct Plan {
    TapRange y{-1, -1}, x{-1, -1};
    Segment segments[kChunk];
    int count;
    Turn turn;
    bool needed;
  };

  void plan_for(TapRange y, TapRange x, int64_t chunk, Plan *plan) const {
    if (plan->y == y && plan->x == x) return;
    plan->y = y;
    plan->x = x;
    plan->count = 0;
    int64_t highest = 0;
    for (int i = y.first; i < y.last; i++)
      for (int j = x.first; j < x.last; j++) {
        const int64_t tap = g_.y.number[i] * g_.kernel_width + g_.x.number[j];
        highest = tap * g_.inner + g_.inner - 1;
        int64_t first, last;
        part(tap, chunk, &first, &last);
        if (first >= last) continue;
        add({g_.y.offset[i] * source_.row + g_.x.offset[j] * source_.pixel + first,
             static_cast<int32_t>(tap * g_.inner + first - chunk * kChunk),
             static_cast<int32_t>(last - first)},
            plan);
      }
    plan->turn = {chunk == 0, chunk == highest / kChunk};
    plan->needed = plan->count > 0 || plan->turn.first;
  }

  static void add(Segment segment, Plan *plan) {
    Segment *before = plan->segments + plan->count - 1;
    if (plan->count && before->from + before->count == segment.from &&
        before->k + before->count == segment.k)
      before->count += segment.count;
    else
      plan->segments[plan->count++] = segment;
  }

  void multiply(int64_t panel, int64_t chunk) {
    Plan plan;
    const TapRange every{0, g_.x.taps};
    for (int64_t y = block_.y; y < block_.y + block_.height; y++) {
      const TapRange rows = g_.y.valid(y);
      if (g_.over_images()) {
        for (int64_t x = block_.x; x < block_.x + block_.width; x++) {
          plan_for(rows, g_.x.valid(x), chunk, &plan);
          if (plan.needed) multiply_images(panel, y, x, plan);
        }
        continue;
      }
      plan_for(rows, every, chunk, &plan);
      for (int64_t b = block_.b; b < block_.b + block_.images && plan.needed; b++)
        multiply_row(panel, b, y, plan);
    }
  }

  void multiply_images(int64_t panel, int64_t y, int64_t x, const Plan &plan) {
    const Pieces tiles(block_.images, kTileRows);
    for (int64_t t = 0; t < tiles.pieces; t++)
      tile(panel, block_.b + tiles.first(t), y, x, tiles.length(t), source_.image, g_.out_image,
           plan);
  }

  void multiply_row(int64_t panel, int64_t b, int64_t y, const Plan &plan) {
    const Pieces tiles(block_.width, kTileRows);
    for (int64_t t = 0; t < tiles.pieces; t++)
      tile(panel, b, y, block_.x + tiles.first(t), tiles.length(t), g_.x.step * source_.pixel,
           g_.x.out_step * g_.out_pixel, plan);
  }

  void tile(int64_t panel, int64_t b, int64_t y, int64_t x, int64_t rows, int64_t step,
            int64_t out_step, const Plan &plan) {
    const float *from = source_.at(b, y * g_.y.step, x * g_.x.step);
    const int64_t column = panel * kPanel, width = least(kPanel, g_.columns - column);
    float *to = g_.out + b * g_.out_image + (g_.y.out_first + y * g_.y.out_step) * g_.out_row +
                (g_.x.out_first + x * g_.x.out_step) * g_.out_pixel + column;
    const GatherTile multiply = gather_tile_of<kTileRows>(rows);
    if (width == kPanel) {
      multiply(from, step, plan.segments, plan.count, packed_, to, out_step, plan.turn);
      return;
    }
    alignas(64) float spare[kTileRows * kPanel];
    for (int64_t r = 0; r < rows && !plan.turn.first; r++)
      memcpy(spare + r * kPanel, to + r * out_step, width * sizeof *to);
    multiply(from, step, plan.segments, plan.count, packed_, spare, kPanel, plan.turn);
    for (int64_t r = 0; r < rows; r++)
      memcpy(to + r * out_step, spare + r * kPanel, width * sizeof *to);
  }

  const Gather &g_;
  Block block_;
  Source source_;
  float *packed_;
  bool *odd_;
};

inline int64_t gather_part(const Gather &gather) {
  return kChunk * kPanel + rounded_up(gather.copy_size(), kLine);
}

// All of it; false when padding met weights that are not finite, and nothing is decided.
inline bool run_gather(const Gather &g, tmk_pool *pool, float *memory, int64_t part) {
  const Block most = g.largest();
  const Pieces images(g.batch, most.images), heights(g.y.count, most.height),
      widths(g.x.count, most.width);
  const int64_t blocks = images.pieces * heights.pieces * widths.pieces;
  const int64_t panels = (g.columns + kPanel - 1) / kPanel;
  const int64_t wanted = threads_of(pool) == 1 ? 1 : 4 * threads_of(pool);
  const int64_t groups = least((wanted + blocks - 1) / blocks, panels);
  bool odd[kMaxThreads] = {};
  parallel(pool, blocks * groups, [&](int64_t task, int worker) {
    const int64_t group = task % groups, block = task / groups;
    const int64_t w = block % widths.pieces, rest = block / widths.pieces;
    const int64_t h = rest % heights.pieces, i = rest / heights.pieces;
    const Block mine{images.first(i),  images.length(i),  heights.first(h),
                     heights.length(h), widths.first(w), widths.length(w)};
    GatherBlock(g, mine, memory + worker * part, odd + worker)
        .run(panels * group / groups, panels * (group + 1) / groups);
  });
  for (const bool found : odd)
    if (found) return false;
  return true;
}

}  // namespace
}  // namespace tmk

#endif
