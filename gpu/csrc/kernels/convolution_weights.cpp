// The gradient of a convolution's weights; ../convolution.h says what it is. Rows of a tile are
// neighbouring channels under one tap, and k runs over the pixels at which the tap meets the image.
// Where channels are few, rows are all channels under a row of taps, with zeros for padding.
#include "pixelwise.h"
#include "panels.h"
#include "taps.h"

namespace tmk {
namespace {

constexpr int64_t kFewChannels = 16;
constexpr int64_t kPanelsAtOnce = 256 / kPanel, kTilesAtOnce = 16;  // what the second cache holds
constexpr int64_t kTileSize = kChunk * kTileRows + kLine;  // no two tiles start in one cache set

// out[kRows][kPanel] += over i: left[i][0 .. kRows-1] right[where[i]][kPanel].
template <int kRows>
void outer_tile(const float *left, const float *right, const int32_t *where, int64_t count,
                float *out, int64_t row, bool first) {
  Floats sum[kRows][2];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; r++) {
    sum[r][0] = sum[r][1] = Floats{};
    __builtin_prefetch(out + r * row, 1);
    __builtin_prefetch(out + r * row + kPanel - 1, 1);
  }
  for (int64_t i = 0; i < count; i++, left += kTileRows) {
    const float *columns = right + where[i] * kPanel;
    const Floats near = load(columns), far = load(columns + kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; r++) {
      const Floats factor = broadcast(left[r]);
      sum[r][0] = fma(factor, near, sum[r][0]);
      sum[r][1] = fma(factor, far, sum[r][1]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; r++)
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
      float *place = out + r * row + half * kLanes;
      store(place, (first ? Floats{} : load(place)) + sum[r][half]);
    }
}

using OuterTile = void (*)(const float *, const float *, const int32_t *, int64_t, float *, int64_t,
                           bool);

template <int kRows>
OuterTile outer_tile_of(int64_t rows) {
  if constexpr (kRows == 1) return outer_tile<1>;
  else return rows == kRows ? outer_tile<kRows> : outer_tile_of<kRows - 1>(rows);
}

// How the gradient of one group is cut: units (taps, or rows of taps) of `rows` rows in tiles, and
// panels in groups.
struct Cut {
  bool merged;  // a unit is a row of taps
  int64_t units, rows, tiles, panels, together, panel_groups, splits;

  Cut(const tmk_convolution &c, const Layer &layer) {
    merged = layer.inputs < kFewChannels && c.groups == 1 && c.dilation[1] == 1 && c.kernel[1] > 1;
    units = merged ? c.kernel[0] : layer.taps;
    rows = layer.taps * layer.inputs / units;
    tiles = Pieces(rows, kTileRows).pieces;
    panels = (layer.outputs + kPanel - 1) / kPanel;
    const int64_t threads = threads_of(c.pool);
    together = least(kPanelsAtOnce, (panels + threads - 1) / threads);
    panel_groups = (panels + together - 1) / together;
    const int64_t wanted = threads == 1 ? 1 : (3 * threads + panel_groups - 1) / panel_groups;
    splits = least(wanted, units * tiles);
  }
  int64_t tasks(const tmk_convolution &c) const { return c.groups * panel_groups * splits; }
  // Whether padding is multiplied, by zero.
  bool pads(const tmk_convolution &c) const { return merged && c.padding[1] > 0; }
};

// A run of pixels of the result in one row.
struct Run {
  int64_t b, y, x, count;
};

// A pixel of the result: where its row's first element lies in the image, and which of the rows are
// there, the others meeting padding.
struct Pixel {
  const float *start;
  int32_t first, last;
};

// What a worker needs: packed columns and rows, pixels and their places in the chunk, and whether a
// unit has been begun.
struct Memory {
  float *right, *left;
  Pixel *pixels;
  int32_t *where;
  uint8_t *begun;

  Memory(const Cut &cut, Workspace &space)
      : right(space.part<float>(cut.together * kChunk * kPanel)),
        left(space.part<float>(kTilesAtOnce * kTileSize)),
        pixels(space.part<Pixel>(kChunk)),
        where(space.part<int32_t>(kChunk)),
        begun(space.part<uint8_t>(cut.units)) {}
};

class WeightGradient {
 public:
  WeightGradient(const tmk_convolution &c, const Layer &layer, const Cut &cut, const Memory &memory,
                 int64_t task, bool *odd)
      : c_(c), layer_(layer), cut_(cut), memory_(memory), odd_(odd) {
    const int64_t split = task % cut.splits, rest = task / cut.splits;
    const int64_t group = rest % cut.panel_groups;
    group_ = rest / cut.panel_groups;
    first_panel_ = cut.panels * group / cut.panel_groups;
    last_panel_ = cut.panels * (group + 1) / cut.panel_groups;
    first_tile_ = cut.units * cut.tiles * split / cut.splits;
    last_tile_ = cut.units * cut.tiles * (split + 1) / cut.splits;
  }

  void run() {
    memset(memory_.begun, 0, cut_.units);
    for (int64_t first = 0; first < layer_.pixels; first += kChunk) {
      const int64_t depth = least(kChunk, layer_.pixels - first);
      pack(first, depth);
      for (int64_t unit = first_tile_ / cut_.tiles; unit * cut_.tiles < last_tile_; unit++)
        add_unit(unit, first, depth);
    }
    finish();
  }

 private:
  int64_t width(int64_t panel) const { return least(kPanel, layer_.outputs - panel * kPanel); }

  void pack(int64_t first, int64_t depth) {
    const View view{c_.result + first * c_.filters + group_ * layer_.outputs, c_.filters, 1};
    for (int64_t panel = first_panel_; panel < last_panel_; panel++) {
      float *to = memory_.right + (panel - first_panel_) * kChunk * kPanel;
      pack_panel(view, panel * kPanel, width(panel), depth, to);
      Ints odd = {};
      for (int64_t i = 0; i < depth * kPanel && cut_.pads(c_); i += kLanes)
        odd = odd | ~(magnitude(load(to + i)) < infinity<Floats>());
      if (any(odd)) *odd_ = true;
    }
  }

  void add_unit(int64_t unit, int64_t first, int64_t depth) {
    const int64_t ky = cut_.merged ? unit : unit / c_.kernel[1];
    const int64_t kx = cut_.merged ? 0 : unit % c_.kernel[1];
    int64_t count = 0;
    for (int64_t i = 0; i < depth;) {
      const int64_t row = (first + i) / layer_.width, x = (first + i) % layer_.width;
      const Run run{row / layer_.height, row % layer_.height, x, least(depth - i, layer_.width - x)};
      const int64_t y = met_by(c_, 0, run.y, ky, c_.height);
      if (y >= 0) list(run, image_at(c_, run.b, y, 0) + group_ * layer_.inputs, kx, i, &count);
      i += run.count;
    }
    if (!count) return;
    const int64_t start = unit * cut_.tiles;
    const int64_t last = least(last_tile_ - start, cut_.tiles);
    for (int64_t t = first_tile_ > start ? first_tile_ - start : 0; t < last; t += kTilesAtOnce)
      multiply(unit, t, least(t + kTilesAtOnce, last), count);
    memory_.begun[unit] = 1;
  }

  // The pixels of a run that the unit meets. `i`: the run's place in the chunk.
  void list(Run run, const float *row, int64_t kx, int64_t i, int64_t *count) {
    for (int64_t j = 0; j < run.count; j++) {
      const int64_t x = (run.x + j) * c_.stride[1] + kx * c_.dilation[1] - c_.padding[1];
      if (!cut_.merged && (x < 0 || x >= c_.width)) continue;
      const int64_t there = (c_.width - x) * c_.channels;
      memory_.pixels[*count] = {row + x * c_.channels,
                                static_cast<int32_t>(x < 0 ? -x * c_.channels : 0),
                                static_cast<int32_t>(least(cut_.rows, there))};
      memory_.where[(*count)++] = static_cast<int32_t>(i + j);
    }
  }

  // Rows of tiles first .. last-1, each as [pixel][kTileRows]. What is written beyond a tile's rows
  // is written again by the next pixel, or has room.
  void pack_rows(int64_t first, int64_t last, int64_t count) {
    const Pieces tiles(cut_.rows, kTileRows);
    for (int64_t i = 0; i < count; i++) {
      const Pixel pixel = memory_.pixels[i];
      float *to = memory_.left + i * kTileRows;
      int64_t row = tiles.first(first);
      for (int64_t t = first; t < last; row += tiles.length(t++), to += kTileSize)
        if (pixel.first == 0 && row + tiles.length(t) <= pixel.last)
          store(to, load_some(pixel.start + row, pixel.last - row));
        else
          pack_edge(pixel, row, tiles.length(t), to);
    }
  }

  static void pack_edge(Pixel pixel, int64_t row, int64_t rows, float *to) {
    for (int64_t r = row; r < row + rows; r++)
      *to++ = r >= pixel.first && r < pixel.last ? pixel.start[r] : 0.0f;
  }

  void multiply(int64_t unit, int64_t first, int64_t last, int64_t count) {
    const Pieces tiles(cut_.rows, kTileRows);
    pack_rows(first, last, count);
    for (int64_t panel = first_panel_; panel < last_panel_; panel++)
      for (int64_t t = first; t < last; t++)
        tile(unit * cut_.rows + tiles.first(t), tiles.length(t), panel,
             memory_.left + (t - first) * kTileSize, count, !memory_.begun[unit]);
  }

  float *place(int64_t row, int64_t panel) const {
    return c_.weights + row * c_.filters + group_ * layer_.outputs + panel * kPanel;
  }

  void tile(int64_t row, int64_t rows, int64_t panel, const float *left, int64_t count,
            bool first) {
    const OuterTile multiply = outer_tile_of<kTileRows>(rows);
    const float *right = memory_.right + (panel - first_panel_) * kChunk * kPanel;
    float *to = place(row, panel);
    if (width(panel) == kPanel) {
      multiply(left, right, memory_.where, count, to, c_.filters, first);
      return;
    }
    alignas(64) float spare[kTileRows * kPanel];
    const int64_t bytes = width(panel) * sizeof(float);
    for (int64_t r = 0; r < rows && !first; r++)
      memcpy(spare + r * kPanel, to + r * c_.filters, bytes);
    multiply(left, right, memory_.where, count, spare, kPanel, first);
    for (int64_t r = 0; r < rows; r++) memcpy(to + r * c_.filters, spare + r * kPanel, bytes);
  }

  // Zero for taps that met nothing; the one NaN elsewhere.
  void finish() {
    const Pieces tiles(cut_.rows, kTileRows);
    for (int64_t t = first_tile_; t < last_tile_; t++) {
      const int64_t unit = t / cut_.tiles, row = unit * cut_.rows + tiles.first(t % cut_.tiles);
      for (int64_t r = row; r < row + tiles.length(t % cut_.tiles); r++)
        for (int64_t panel = first_panel_; panel < last_panel_; panel++)
          for (int64_t j = 0; j < width(panel); j += kLanes) {
            const int64_t there = width(panel) - j;
            float *to = place(r, panel) + j;
            const Floats sum = memory_.begun[unit] ? load_some(to, there) : Floats{};
            store_some(to, canonical(sum), there);
          }
    }
  }

  const tmk_convolution &c_;
  const Layer &layer_;
  const Cut &cut_;
  const Memory &memory_;
  bool *odd_;
  int64_t group_, first_panel_, last_panel_, first_tile_, last_tile_;
};

// One worker's memory, as bytes of the whole.
uint64_t worker_bytes(const Cut &cut) {
  Workspace space;
  Memory(cut, space);
  return space.needed();
}

// False when padding met a gradient that is not finite.
bool run(const tmk_convolution &c, uint8_t *memory, uint64_t bytes) {
  const Layer layer(c);
  const Cut cut(c, layer);
  bool odd[kMaxThreads] = {};
  parallel(c.pool, cut.tasks(c), [&](int64_t task, int worker) {
    Workspace space(tmk_memory{memory + worker * bytes, bytes});
    const Memory mine(cut, space);
    WeightGradient(c, layer, cut, mine, task, odd + worker).run();
  });
  for (const bool found : odd)
    if (found) return false;
  return true;
}

}  // namespace
}  // namespace tmk

uint64_t TMK_ENTRY(conv2d_weights_workspace)(const tmk_convolution *call) {
  const tmk_convolution &c = *call;
  if (!valid(c)) return 0;
  if (tmk::is_pixelwise(c)) return tmk::Pixelwise(c, tmk::kWeights).needed();
  return tmk::worker_bytes(tmk::Cut(c, Layer(c))) * threads_of(c.pool);
}

int TMK_ENTRY(conv2d_weights)(const tmk_convolution *call) {
  const tmk_convolution &c = *call;
  if (!valid(c)) return TMK_BAD_ARGUMENT;
  if (tmk::is_pixelwise(c)) return tmk::Pixelwise(c, tmk::kWeights).run();
  const uint64_t bytes = tmk::worker_bytes(tmk::Cut(c, Layer(c)));
  if (!c.workspace.address || c.workspace.size < bytes * threads_of(c.pool))
    return TMK_SMALL_WORKSPACE;
  const FloatState state;
  if (!tmk::run(c, static_cast<uint8_t *>(c.workspace.address), bytes)) conv2d_weights_entries(c);
  return TMK_OK;
}
