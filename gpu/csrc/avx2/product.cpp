// The product of chain241 with AVX2, blocked as in Goto and van de Geijn, "Anatomy of
// High-Performance Matrix Multiplication" (2008): 6 x 16 sums stay in registers, a run of kDepth
// inner elements of one right panel in the first cache, of kBlockRows left rows in the second.
//
// The sums are exact integers, so neither blocking nor order shows in the result.
#include "pack.h"

namespace {

constexpr int64_t kDepth = 256;
constexpr int64_t kBlockRows = 384;     // a multiple of kTileRows
constexpr int64_t kBlockColumns = 512;  // a multiple of 2 * kTileColumns
constexpr int64_t kTileSums = kTileRows * kTileColumns;

// sums[6][16] += left panel * right panel over `depth` inner elements.
inline void multiply_tile(const int16_t *left, const int16_t *right, int64_t depth,
                          int32_t *sums) {
  __m256i sum[kTileRows][2];
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; r++)
#pragma GCC unroll 8
    for (int h = 0; h < 2; h++)
      sum[r][h] = _mm256_load_si256((const __m256i *)(sums + r * kTileColumns + 8 * h));
  for (int64_t k = 0; k < depth; k += 2, left += 2 * kTileRows, right += 2 * kTileColumns) {
    const __m256i near = _mm256_load_si256((const __m256i *)right);
    const __m256i far = _mm256_load_si256((const __m256i *)(right + kTileColumns));
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; r++) {
      int32_t pair;
      memcpy(&pair, left + 2 * r, sizeof pair);
      const __m256i both = _mm256_set1_epi32(pair);
      sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(both, near));
      sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(both, far));
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; r++)
#pragma GCC unroll 8
    for (int h = 0; h < 2; h++)
      _mm256_store_si256((__m256i *)(sums + r * kTileColumns + 8 * h), sum[r][h]);
}

// Adds column ⊗ row, reduces, and stores the part of the tile that lies inside the result.
void finish_tile(const tmk_product &p, int64_t i, int64_t j, const int32_t *sums) {
  const int64_t height = smaller(p.rows - i, kTileRows);
  const int64_t width = smaller(p.columns - j, kTileColumns);
  const __m128i row = p.row ? load16(p.row + j, width) : _mm_setzero_si128();
  const __m256i row_near = _mm256_cvtepu8_epi32(row);
  const __m256i row_far = _mm256_cvtepu8_epi32(_mm_srli_si128(row, 8));
  for (int64_t r = 0; r < height; r++, sums += kTileColumns) {
    const __m256i factor = _mm256_set1_epi32(p.column ? p.column[i + r] : 0);
    const __m256i near = _mm256_load_si256((const __m256i *)sums);
    const __m256i far = _mm256_load_si256((const __m256i *)(sums + 8));
    alignas(16) uint8_t bytes[16];
    _mm_store_si128((__m128i *)bytes,
                    canonical(_mm256_add_epi32(near, _mm256_madd_epi16(factor, row_near)),
                              _mm256_add_epi32(far, _mm256_madd_epi16(factor, row_far))));
    memcpy(p.out + (i + r) * p.out_stride + j, bytes, width);
  }
}

// The packed operands and the sums between two runs of the inner dimension.
struct Parts {
  int64_t inner;     // padded
  int16_t *left;     // kBlockRows rows, run after run of kDepth inner elements
  int16_t *right;    // one run of kBlockColumns columns
  int32_t *sums;     // tile after tile of a block; one tile when there is only one run
  int64_t sums_step;

  Parts(const tmk_product &p, Workspace &space) : inner(rounded_up(p.inner, kRun)) {
    const int64_t height = smaller(rounded_up(p.rows, kTileRows), kBlockRows);
    const int64_t width = smaller(rounded_up(p.columns, 2 * kTileColumns), kBlockColumns);
    sums_step = inner <= kDepth ? 0 : kTileSums;
    left = space.part<int16_t>(height * inner);
    right = space.part<int16_t>(width * smaller(inner, kDepth));
    sums = space.part<int32_t>(sums_step ? height * width : kTileSums);
  }
};

// Inner elements [first, last) of the rows of a block, panel after panel.
void pack_left(const tmk_product &p, int64_t i, int64_t height, int64_t first, int64_t last,
               int16_t *packed) {
  const auto pack = p.scale ? pack_left_panel<true> : pack_left_panel<false>;
  for (int64_t r = 0; r < height; r += kTileRows)
    pack(p, i + r, first, last, packed + r * (last - first));
}

// One run of inner elements into all sums of a block; the last run finishes each tile.
void multiply_block(const tmk_product &p, int64_t i, int64_t height, int64_t j, int64_t width,
                    int64_t first, int64_t last, const Parts &parts) {
  const int64_t depth = last - first;
  const int16_t *left = parts.left + first * height;
  int32_t *sums = parts.sums;
  for (int64_t c = 0; c < width; c += kTileColumns)
    for (int64_t r = 0; r < height; r += kTileRows, sums += parts.sums_step) {
      if (first == 0) memset(sums, 0, kTileSums * sizeof *sums);
      multiply_tile(left + r * depth, parts.right + c * depth, depth, sums);
      if (last == parts.inner) finish_tile(p, i + r, j + c, sums);
    }
}

}  // namespace

uint64_t tmk_avx2_chain241_product_workspace(const tmk_product *arguments) {
  Workspace space;
  Parts(*arguments, space);
  return space.needed();
}

int tmk_avx2_chain241_product(const tmk_product *arguments) {
  const tmk_product &p = *arguments;
  if (!valid(p)) return TMK_BAD_ARGUMENT;
  Workspace space(p);
  const Parts parts(p, space);
  if (!space.held()) return TMK_SMALL_WORKSPACE;
  for (int64_t i = 0; i < p.rows; i += kBlockRows) {
    const int64_t height = rounded_up(smaller(p.rows - i, kBlockRows), kTileRows);
    for (int64_t j = 0; j < p.columns; j += kBlockColumns) {
      const int64_t width = smaller(p.columns - j, kBlockColumns);
      for (int64_t k = 0; k < parts.inner; k += kDepth) {
        const int64_t last = smaller(k + kDepth, parts.inner);
        if (j == 0) pack_left(p, i, height, k, last, parts.left + k * height);
        pack_right(p, k, last, j, width, parts.right);
        multiply_block(p, i, height, j, width, k, last, parts);
      }
    }
  }
  return TMK_OK;
}
