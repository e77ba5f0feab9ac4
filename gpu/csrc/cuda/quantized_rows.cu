// Products of a few rows of eight-bit numbers with weights, a scale per row and group (W8A8):
// reference/linear.cpp is the definition. What bounds them is reading the weights: a warp reads a
// column from end to end, 512 inner elements at a time, 16 to a lane. Sums of lanes that share a group
// are exact in any order; the groups' own are added in theirs, by all lanes alike.
#include "cuda/calls.h"
#include "cuda/device.h"

namespace {

constexpr int kThreads = 256, kWarps = kThreads / tmk::kWarp;
constexpr int kPiece = 16, kStep = kPiece * tmk::kWarp;  // inner elements of a lane, of a warp
constexpr int kAhead = 8;                                // steps whose weights are on their way

struct alignas(16) Piece {
  uint32_t words[kPiece / 4];
};

TM_FN Piece read_piece(const int8_t *row, int64_t k, int64_t padded) {
  return k < padded ? *reinterpret_cast<const Piece *>(row + k) : Piece{};
}

// Of a lane's pieces, added over kLanes neighbours.
template <int kLanes>
TM_FN int32_t product(const Piece &left, const Piece &right) {
  int32_t sum = 0;
#pragma unroll
  for (int w = 0; w < kPiece / 4; w++)
    sum = tmk::multiply_four(sum, left.words[w], right.words[w]);
#pragma unroll
  for (int distance = 1; distance < kLanes; distance *= 2) sum += tmk::exchanged(sum, distance);
  return sum;
}

// The entries of some rows in one column, the same in every lane. kLanes neighbours share a unit: the
// largest power of two that groups are made of.
template <int kRows, int kLanes>
struct Entries {
  static constexpr int kUnits = tmk::kWarp / kLanes;  // of a step
  const tmk_scaled_tiles &call;
  int64_t first_row, column;
  int group, in_group, of_group;  // of_group: units of a whole one; in_group: those in `sum`
  int32_t sum[kRows];
  float total[kRows], scales[kRows];  // a lane has the scales of a group of 32

  TM_FN Entries(const tmk_scaled_tiles &call, int64_t first_row, int64_t column)
      : call(call), first_row(first_row), column(column), group(0), in_group(0),
        of_group(static_cast<int>(call.group / (kPiece * kLanes))) {
#pragma unroll
    for (int r = 0; r < kRows; r++) {
      sum[r] = 0;
      total[r] = 0.0f;
    }
    read_scales();
  }

  TM_FN int64_t row(int r) const { return tmk::smaller_of(first_row + r, call.rows - 1); }

  TM_FN void read_scales() {
    const int64_t own = tmk::smaller_of(group + threadIdx.x % tmk::kWarp, call.groups - 1);
    const float right = call.right_scales[own * call.columns + column];
#pragma unroll
    for (int r = 0; r < kRows; r++) scales[r] = call.left_scales[row(r) * call.groups + own] * right;
  }

  TM_FN void end_group() {
#pragma unroll
    for (int r = 0; r < kRows; r++) {
      const float scale = tmk::from_lane(scales[r], group % tmk::kWarp);
      total[r] = tmk::fma(static_cast<float>(sum[r]), scale, total[r]);
      sum[r] = 0;
    }
    in_group = 0;
    if (++group % tmk::kWarp == 0) read_scales();
  }

  TM_FN void add_unit(const int32_t sums[kRows], int unit) {
#pragma unroll
    for (int r = 0; r < kRows; r++) sum[r] += tmk::from_lane(sums[r], unit * kLanes);
    if (++in_group == of_group) end_group();
  }

  // Inner elements k ... k + 511.
  TM_FN void add(const Piece &weights, int64_t k) {
    const int64_t own = k + threadIdx.x % tmk::kWarp * kPiece;
    int32_t sums[kRows];
#pragma unroll
    for (int r = 0; r < kRows; r++)
      sums[r] = product<kLanes>(read_piece(call.left + row(r) * call.padded, own, call.padded), weights);
    if (k + kStep <= call.inner) {
#pragma unroll
      for (int unit = 0; unit < kUnits; unit++) add_unit(sums, unit);
    } else {
      for (int unit = 0; k + unit * kLanes * kPiece < call.inner; unit++) add_unit(sums, unit);
    }
  }
};

template <int kRows, int kLanes>
TM_FN void multiply_few(const tmk_scaled_tiles &call, int64_t column) {
  const int lane = threadIdx.x % tmk::kWarp;
  const int64_t first_row = int64_t{blockIdx.y} * kRows;
  const int8_t *numbers = call.right + column * call.padded;
  Entries<kRows, kLanes> entries(call, first_row, column);
  for (int64_t start = 0; start < call.inner; start += kAhead * kStep) {
    Piece weights[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; i++)
      weights[i] = read_piece(numbers, start + i * kStep + lane * kPiece, call.padded);
#pragma unroll
    for (int i = 0; i < kAhead; i++)
      if (start + i * kStep < call.inner) entries.add(weights[i], start + i * kStep);
  }
  if (entries.in_group > 0) entries.end_group();
#pragma unroll
  for (int r = 0; r < kRows; r++)
    if (lane == r && first_row + r < call.rows)
      call.out[(first_row + r) * call.out_row + column] = tmk::canonical(entries.total[r]);
}

template <int kRows>
TM_FN void multiply_few(const tmk_scaled_tiles &call) {
  const int64_t column = int64_t{blockIdx.x} * kWarps + threadIdx.x / tmk::kWarp;
  if (column >= call.columns) return;  // the whole warp
  switch (tmk::smaller_of(call.group & -call.group, kStep) / kPiece) {
    case 2: return multiply_few<kRows, 2>(call, column);
    case 4: return multiply_few<kRows, 4>(call, column);
    case 8: return multiply_few<kRows, 8>(call, column);
    case 16: return multiply_few<kRows, 16>(call, column);
    default: return multiply_few<kRows, 32>(call, column);
  }
}

}  // namespace

TM_KERNEL(linear_i8_1, kThreads, tmk_scaled_tiles) { multiply_few<1>(call); }
TM_KERNEL(linear_i8_4, kThreads, tmk_scaled_tiles) { multiply_few<4>(call); }
