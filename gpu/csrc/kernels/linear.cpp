// Products with packed weights; reference/linear.cpp says what they are. Few rows stream the weights
// once, many rows go block by block: the bits are the same, so the choice is free.
#include "packed.h"

#include "../checks.h"

namespace tmk {
namespace {

// Panels of floats in place.
struct FloatWeights {
  const float *data;
  int64_t inner;
  const float *panel(int64_t number, int64_t k, int64_t, float *) const {
    return data + (number * inner + k) * kPanel;
  }
  const float *soon(int64_t number, int64_t k) const { return panel(number, k, 0, nullptr); }
  FloatPanel stream(int64_t number) const {
    return {panel(number, 0, 0, nullptr), kPanel, inner * kPanel};
  }
};

// Panels of bfloat16, made floats chunk by chunk.
struct HalfWeights {
  const uint32_t *data;
  int64_t inner;
  const float *panel(int64_t number, int64_t k, int64_t depth, float *spare) const {
    const HalfPanel half = stream(number);
    for (int64_t i = 0; i < depth; i++)
      for (int h = 0; h < 2; h++)
        store(spare + i * kPanel + h * kLanes, half.at(k + i - i % 2, static_cast<int>(i % 2), h));
    return spare;
  }
  const float *soon(int64_t number, int64_t k) const {
    return reinterpret_cast<const float *>(stream(number).data + k / 2 * kPanel);
  }
  HalfPanel stream(int64_t number) const {
    return {data + number * pairs_of(inner) * kPanel, pairs_of(inner)};
  }
};

constexpr int64_t kStreamPanels = 8;  // panels of one task

template <typename Weights>
void multiply(const tmk_linear &c, Weights weights, float *memory) {
  if (c.rows > kStreamLimit) {
    BlockedProduct<Weights>{{c.left, c.left_row, 1}, weights, c.out,     c.rows, c.inner,
                            c.columns,               c.out_row, memory}
        .run(c.pool);
    return;
  }
  parallel_ranges(c.pool, panels_of(c.columns), kStreamPanels,
                  [&](int64_t first, int64_t last, int) {
                    const int64_t column = first * kPanel;
                    stream_all(c.left, c.left_row, c.rows, weights.stream(first), c.inner,
                               c.out + column, c.out_row,
                               least(last * kPanel, c.columns) - column);
                  });
}

// Rows of quantized numbers, interleaved: [inner / 4][kTileRows] words per tile, and the scales
// [groups][kTileRows].
struct QuantizedRows {
  uint32_t *quads;
  float *scales;
};

void quantize_row(const tmk_linear &c, const float *row, int64_t g, int64_t height, uint32_t *quads,
                  float *scale) {
  const int64_t first = g * c.group, count = least(c.group, c.inner - first);
  Floats most = {};
  Ints odd = {};
  for (int64_t k = 0; k < count; k += kLanes) {
    const Floats size = magnitude(load_some(row + first + k, count - k));
    most = larger(size, most);
    odd = odd | ~(size < infinity<Floats>());
  }
  float largest = 0.0f;
  for (int i = 0; i < kLanes; i++) largest = larger(most[i], largest);
  const Scale s = scale_of(largest, !any(odd));
  *scale = s.back;
  for (int64_t k = 0; k < count; k += kLanes) {
    const Words numbers = quantized(load_some(row + first + k, count - k), broadcast(s.factor));
    uint32_t bytes[kLanes / kQuad];
    store_bytes(reinterpret_cast<uint8_t *>(bytes), numbers);
    for (int64_t q = 0; q < kLanes / kQuad && k + q * kQuad < count; q++)
      quads[((first + k) / kQuad + q) * height] = bytes[q] ^ kQuadOffset;
  }
}

void quantize_tile(const tmk_linear &c, int64_t i, int64_t height, QuantizedRows to) {
  for (int64_t r = 0; r < height; r++)
    for (int64_t g = 0; g < groups_of(c.inner, c.group); g++)
      quantize_row(c, c.left + (i + r) * c.left_row, g, height, to.quads + r,
                   to.scales + g * height + r);
}

// sums[kPanels][kRows][kPanel] of one group. A function of its own: with the scaling beside it,
// compilers spill the sums. `right_panel`, `start_panel`: the distance of panels.
template <int kRows, int kPanels>
__attribute__((noinline)) void multiply_quads(const uint32_t *left, const uint32_t *right,
                                              int64_t right_panel, int64_t quads,
                                              const uint32_t *start, int64_t start_panel,
                                              uint32_t *sums) {
  Words sum[kPanels][kRows][2];
#pragma GCC unroll 4
  for (int p = 0; p < kPanels; p++)
#pragma GCC unroll 16
    for (int r = 0; r < kRows; r++)
#pragma GCC unroll 2
      for (int h = 0; h < 2; h++)
        sum[p][r][h] = kQuadOffset ? load(start + p * start_panel + h * kLanes) : Words{};
  for (int64_t k = 0; k < quads; k++, left += kRows, right += kPanel)
#pragma GCC unroll 4
    for (int p = 0; p < kPanels; p++) {
      const uint32_t *panel = right + p * right_panel;
      const Words near = load(panel), far = load(panel + kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; r++) {
        const Words factor = broadcast(left[r]);
        sum[p][r][0] = dot_quads(sum[p][r][0], factor, near);
        sum[p][r][1] = dot_quads(sum[p][r][1], factor, far);
      }
    }
#pragma GCC unroll 4
  for (int p = 0; p < kPanels; p++)
#pragma GCC unroll 16
    for (int r = 0; r < kRows; r++)
#pragma GCC unroll 2
      for (int h = 0; h < 2; h++)
        store(sums + (p * kRows + r) * kPanel + h * kLanes, sum[p][r][h]);
}

// Rows of one tile times kPanels neighbouring panels.
template <int kRows, int kPanels>
void multiply_panels(const tmk_linear &c, const Packed &packed, QuantizedRows left, int64_t panel,
                     float *out) {
  const int64_t groups = groups_of(c.inner, c.group), step = quads_of(c.inner) * kPanel;
  const uint32_t *right = reinterpret_cast<const uint32_t *>(packed.numbers) + panel * step;
  const int64_t place = panel * groups * kPanel, row = groups * kPanel;
  alignas(64) uint32_t sums[kPanels * kRows * kPanel];
  Floats total[kPanels][kRows][2] = {};
  for (int64_t g = 0; g < groups; g++) {
    const int64_t first = g * (c.group / kQuad), at = place + g * kPanel;
    multiply_quads<kRows, kPanels>(left.quads + first * kRows, right + first * kPanel, step,
                                   quads_of(least(c.group, c.inner - g * c.group)),
                                   packed.starts + at, row, sums);
    for (int p = 0; p < kPanels; p++)
      for (int r = 0; r < kRows; r++)
        for (int h = 0; h < 2; h++) {
          const Floats scale =
              load(packed.scales + at + p * row + h * kLanes) * left.scales[g * kRows + r];
          const Words sum = load(sums + (p * kRows + r) * kPanel + h * kLanes);
          total[p][r][h] = fma(to_float(sum), scale, total[p][r][h]);
        }
  }
  for (int p = 0; p < kPanels; p++)
    for (int r = 0; r < kRows; r++)
      for (int h = 0; h < 2; h++) {
        const int64_t column = (panel + p) * kPanel + h * kLanes;
        if (column < c.columns)
          store_some(out + r * c.out_row + column, canonical(total[p][r][h]),
                     c.columns - column);
      }
}

// Panels first .. last-1, as many at a time as for floats.
template <int kRows>
void multiply_range(const tmk_linear &c, const Packed &packed, QuantizedRows left, int64_t first,
                    int64_t last, float *out) {
  constexpr int kPanels = panels_for(kRows);
  for (; first + kPanels <= last; first += kPanels)
    multiply_panels<kRows, kPanels>(c, packed, left, first, out);
  for (; first < last; first++) multiply_panels<kRows, 1>(c, packed, left, first, out);
}

using RangeFunction = void (*)(const tmk_linear &, const Packed &, QuantizedRows, int64_t, int64_t,
                               float *);

template <int kRows = kTileRows>
RangeFunction range_of(int64_t rows) {
  if constexpr (kRows == 1) return multiply_range<1>;
  else return rows == kRows ? multiply_range<kRows> : range_of<kRows - 1>(rows);
}

struct Parts {
  QuantizedRows rows;
  float *blocks;
  Parts(const tmk_linear &c, Workspace &space) : rows{nullptr, nullptr}, blocks(nullptr) {
    if (c.kind == TMK_I8) {
      rows.quads = space.part<uint32_t>(c.rows * quads_of(c.inner));
      rows.scales = space.part<float>(c.rows * groups_of(c.inner, c.group));
    } else if (c.rows > kStreamLimit) {
      blocks = space.part<float>(BlockedProduct<FloatWeights>::kPart * threads_of(c.pool));
    }
  }
  // The rows of a tile that starts at row i.
  QuantizedRows tile(const tmk_linear &c, int64_t i) const {
    return {rows.quads + i * quads_of(c.inner), rows.scales + i * groups_of(c.inner, c.group)};
  }
};

void multiply_integers(const tmk_linear &c, const Packed &packed, const Parts &parts) {
  const int64_t tiles = (c.rows + kTileRows - 1) / kTileRows;
  parallel(c.pool, tiles, [&](int64_t tile, int) {
    const int64_t i = tile * kTileRows;
    quantize_tile(c, i, least(kTileRows, c.rows - i), parts.tile(c, i));
  });
  // A panel stays in the cache for all tiles; where there is but one, panels go together.
  parallel_ranges(c.pool, panels_of(c.columns), kStreamPanels,
                  [&](int64_t first, int64_t last, int) {
                    const int64_t step = tiles > 1 ? 1 : last - first;
                    for (int64_t panel = first; panel < last; panel += step)
                      for (int64_t i = 0; i < c.rows; i += kTileRows)
                        range_of(least(kTileRows, c.rows - i))(c, packed, parts.tile(c, i), panel,
                                                               panel + step,
                                                               c.out + i * c.out_row);
                  });
}

}  // namespace
}  // namespace tmk

uint64_t TMK_ENTRY(linear_workspace)(const tmk_linear *call) {
  Workspace space;
  tmk::Parts(*call, space);
  return space.needed();
}

int TMK_ENTRY(linear)(const tmk_linear *call) {
  const tmk_linear &c = *call;
  if (!valid(c)) return TMK_BAD_ARGUMENT;
  Workspace space(c.workspace);
  const tmk::Parts parts(c, space);
  if (!space.held()) return TMK_SMALL_WORKSPACE;
  const FloatState state;
  const tmk::Packed packed(c.packed, c.inner, c.columns, c.kind, c.group);
  if (c.kind == TMK_F32)
    tmk::multiply(c, tmk::FloatWeights{reinterpret_cast<float *>(packed.numbers), c.inner},
                  parts.blocks);
  else if (c.kind == TMK_BF16)
    tmk::multiply(c, tmk::HalfWeights{reinterpret_cast<uint32_t *>(packed.numbers), c.inner},
                  parts.blocks);
  else
    tmk::multiply_integers(c, packed, parts);
  return TMK_OK;
}
