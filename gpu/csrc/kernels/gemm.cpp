// out = left · right for floats: the columns are packed in slices that fit `kSliceFloats`, then
// multiplied block by block. A few rows times a plain matrix read it in place.
#include "gemv.h"
#include "panels.h"

#include "../checks.h"

namespace tmk {
namespace {

constexpr int64_t kSliceFloats = int64_t{1} << 23;

// Panels as pack_columns writes them.
struct PackedFloats {
  const float *data;
  int64_t inner;
  const float *panel(int64_t number, int64_t k, int64_t, float *) const {
    return data + (number * inner + k) * kPanel;
  }
  const float *soon(int64_t number, int64_t k) const { return panel(number, k, 0, nullptr); }
};

int64_t slice_columns(const tmk_gemm &c) {
  const int64_t fitting = kSliceFloats / c.inner / kPanel * kPanel;
  return least(rounded_up(c.columns, kPanel), fitting < kPanel ? kPanel : fitting);
}

constexpr int64_t kPanelsAtOnce = 8;  // a row of the matrix gives whole lines to each

// Columns j .. j+width-1, panel after panel.
void pack_columns(View view, int64_t j, int64_t width, int64_t inner, float *packed) {
  int64_t whole = view.column == 1 ? width / kPanel : 0;
  for (int64_t k = 0; k < inner && whole; k++)
    for (int64_t panel = 0; panel < whole; panel++) {
      const float *from = view.at(k, j + panel * kPanel);
      float *to = packed + (panel * inner + k) * kPanel;
      store(to, load(from));
      store(to + kLanes, load(from + kLanes));
    }
  for (; whole * kPanel < width; whole++)
    pack_panel(view, j + whole * kPanel, least(kPanel, width - whole * kPanel), inner,
               packed + whole * inner * kPanel);
}

struct Parts {
  float *right, *workers;
  Parts(const tmk_gemm &c, Workspace &space)
      : right(space.part<float>(slice_columns(c) * c.inner)),
        workers(space.part<float>(BlockedProduct<PackedFloats>::kPart * threads_of(c.pool))) {}
};

void multiply_slice(const tmk_gemm &c, int64_t first, int64_t width, const Parts &parts) {
  const View left{static_cast<const float *>(c.left), c.left_row, c.left_column};
  const View right{static_cast<const float *>(c.right), c.right_row, c.right_column};
  parallel_ranges(c.pool, width, kPanelsAtOnce * kPanel, [&](int64_t j, int64_t last, int) {
    pack_columns(right, first + j, last - j, c.inner, parts.right + j * c.inner);
  });
  float *out = static_cast<float *>(c.out) + first;
  BlockedProduct<PackedFloats>{left,    {parts.right, c.inner}, out,          c.rows, c.inner,
                               width, c.out_row,              parts.workers}
      .run(c.pool);
}

// Few rows times whole panels of a matrix that lies in rows: nothing is packed.
bool streams(const tmk_gemm &c) {
  return c.rows <= kStreamRows && c.left_column == 1 && c.right_column == 1 &&
         c.columns % kPanel == 0;
}

void stream_product(const tmk_gemm &c) {
  constexpr int64_t kPanels = 8;
  parallel_ranges(c.pool, c.columns / kPanel, kPanels, [&](int64_t first, int64_t last, int) {
    const int64_t j = first * kPanel;
    const FloatPanel panel{static_cast<const float *>(c.right) + j, c.right_row, kPanel};
    stream_all(static_cast<const float *>(c.left), c.left_row, c.rows, panel, c.inner,
               static_cast<float *>(c.out) + j, c.out_row, (last - first) * kPanel);
  });
}

}  // namespace
}  // namespace tmk

uint64_t TMK_ENTRY(gemm_f32_workspace)(const tmk_gemm *call) {
  Workspace space;
  tmk::Parts(*call, space);
  return space.needed();
}

int TMK_ENTRY(gemm_f32)(const tmk_gemm *call) {
  const tmk_gemm &c = *call;
  if (!valid(c)) return TMK_BAD_ARGUMENT;
  Workspace space(c.workspace);
  const tmk::Parts parts(c, space);
  if (!space.held()) return TMK_SMALL_WORKSPACE;
  const FloatState state;
  if (tmk::streams(c)) {
    tmk::stream_product(c);
    return TMK_OK;
  }
  const int64_t step = tmk::slice_columns(c);
  for (int64_t first = 0; first < c.columns; first += step)
    tmk::multiply_slice(c, first, least(step, c.columns - first), parts);
  return TMK_OK;
}
