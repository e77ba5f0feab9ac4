// Convolution as a product whose left side is never made: the rows of a tile are pixels at a
// constant distance, read in place by the taps' offsets. Where rows reach into padding, the pixels
// of a block are first copied beside zeros; images of few pixels have the batch as rows instead, so
// that no row meets padding that another does not.
#ifndef TM_GATHER_H
#define TM_GATHER_H

#include "gather_block.h"

namespace tmk {
namespace {

// For the weights as tiles read them, and for each worker's copy of pixels.
struct GatherMemory {
  float *packed, *copies;
  int64_t copy_size;
};

inline bool all_finite(const float *data, int64_t count) {
  Ints odd = {};
  for (int64_t i = 0; i < count; i += kLanes)
    odd = odd | ~(magnitude(load(data + i)) < infinity<Floats>());
  return !any(odd);
}

// [taps][inner][kPanel] of the taps that meet anything; whether zeros may be multiplied by them.
inline bool pack_taps(const Gather &g, int64_t panel, float *packed) {
  const int64_t column = panel * kPanel, width = least(kPanel, g.columns - column);
  bool harmless = true;
  for (int i = 0; i < g.y.taps; i++)
    for (int j = 0; j < g.x.taps; j++) {
      const int64_t tap = g.tap(i, j);
      float *to = packed + tap * g.inner * kPanel;
      pack_panel(g.weights.tap(tap), column, width, g.inner, to);
      if (g.copies() && !all_finite(to, g.inner * kPanel)) harmless = false;
    }
  return harmless;
}

// All panels once, not for each block: blocks read them many times over.
inline bool pack_weights(const Gather &g, tmk_pool *pool, float *packed) {
  bool odd[kMaxThreads] = {};
  parallel(pool, g.panels(), [&](int64_t panel, int worker) {
    if (!pack_taps(g, panel, packed + panel * g.panel_size())) odd[worker] = true;
  });
  for (const bool found : odd)
    if (found) return false;
  return true;
}

// All of it; false when padding met weights that are not finite, and nothing is decided.
inline bool run_gather(const Gather &g, tmk_pool *pool, const GatherMemory &memory) {
  if (!pack_weights(g, pool, memory.packed)) return false;
  const Block most = g.largest();
  const Pieces images(g.batch, most.images), heights(g.y.count, most.height),
      widths(g.x.count, most.width);
  const int64_t blocks = images.pieces * heights.pieces * widths.pieces;
  const int64_t wanted = threads_of(pool) == 1 ? 1 : 4 * threads_of(pool);
  const int64_t groups = least((wanted + blocks - 1) / blocks, g.panels());
  parallel(pool, blocks * groups, [&](int64_t task, int worker) {
    const int64_t group = task % groups, block = task / groups;
    const int64_t w = block % widths.pieces, rest = block / widths.pieces;
    const int64_t h = rest % heights.pieces, i = rest / heights.pieces;
    const Block mine{images.first(i),  images.length(i),  heights.first(h),
                     heights.length(h), widths.first(w), widths.length(w)};
    GatherBlock(g, mine, memory.packed, memory.copies + worker * memory.copy_size)
        .run(g.panels() * group / groups, g.panels() * (group + 1) / groups);
  });
  return true;
}

}  // namespace
}  // namespace tmk

#endif
