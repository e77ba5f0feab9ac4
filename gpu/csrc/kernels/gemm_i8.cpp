// Products of signed bytes with exact sums in 32 bits. Operands that do not lie in rows are copied
// so first.
#include "integer_product.h"

#include "../checks.h"

namespace tmk {
namespace {

struct ByteProduct {
  const int8_t *left_rows, *right_rows;
  int64_t left_row, right_row;
  int32_t *out;
  int64_t out_row;
  int64_t rows, inner, columns;

  void pack_row_of_left(int64_t i, int64_t k, int64_t depth, uint32_t *packed) const {
    const int8_t *row = left_rows + i * left_row + k;
    pack_row(depth, packed,
             [=](auto load, int64_t place) { return left_groups(Bytes{}, load(row + place)); });
  }
  TM_FN void right(int64_t k, int64_t j, Words groups[2]) const {
    right_groups(Bytes{}, right_rows + k * right_row + j, right_row, inner - k, columns - j,
                 groups);
  }
  void finish(int64_t i, int64_t j, int64_t height, const uint32_t *sums) const {
    const int64_t width = least(kPanel, columns - j);
    for (int64_t r = 0; r < height; r++, sums += kPanel)
      memcpy(out + (i + r) * out_row + j, sums, width * sizeof *out);
  }
};

// An operand in rows: itself, or a copy of it in the workspace.
struct Rows {
  const int8_t *data;
  int64_t row, column, height, width;
  int8_t *copy;
  Rows(const void *matrix, int64_t row_, int64_t column_, int64_t height_, int64_t width_,
       Workspace &space)
      : data(static_cast<const int8_t *>(matrix)),
        row(row_),
        column(column_),
        height(height_),
        width(width_),
        copy(space.part<int8_t>(column == 1 ? 0 : height * width)) {}

  const int8_t *start() const { return column == 1 ? data : copy; }
  int64_t stride() const { return column == 1 ? row : width; }

  void lay_out() const {
    constexpr int64_t kSide = 64;  // a block of both stays in the first cache
    if (column == 1) return;
    for (int64_t i = 0; i < height; i += kSide)
      for (int64_t j = 0; j < width; j += kSide)
        for (int64_t r = i; r < least(i + kSide, height); r++)
          for (int64_t c = j; c < least(j + kSide, width); c++)
            copy[r * width + c] = data[r * row + c * column];
  }
};

// Lays out the workspace; `use` gets the product and what prepares its operands.
template <typename Use>
int with_bytes(const tmk_gemm &c, Workspace &space, Use use) {
  const Rows left(c.left, c.left_row, c.left_column, c.rows, c.inner, space);
  const Rows right(c.right, c.right_row, c.right_column, c.inner, c.columns, space);
  const ByteProduct problem{left.start(), right.start(), left.stride(), right.stride(),
                            static_cast<int32_t *>(c.out), c.out_row, c.rows, c.inner, c.columns};
  return with_product(problem, threads_of(c.pool), space, [&](auto product) {
    return use(product, [&] {
      left.lay_out();
      right.lay_out();
    });
  });
}

}  // namespace
}  // namespace tmk

uint64_t TMK_ENTRY(gemm_i8_workspace)(const tmk_gemm *call) {
  Workspace space;
  tmk::with_bytes(*call, space, [](auto &, auto) { return TMK_OK; });
  return space.needed();
}

int TMK_ENTRY(gemm_i8)(const tmk_gemm *call) {
  if (!valid(*call) || call->inner > kMostInner) return TMK_BAD_ARGUMENT;
  Workspace space(call->workspace);
  return tmk::with_bytes(*call, space, [&](auto &product, auto lay_out) {
    if (!space.held()) return TMK_SMALL_WORKSPACE;
    lay_out();
    product.run(call->pool);
    return TMK_OK;
  });
}
