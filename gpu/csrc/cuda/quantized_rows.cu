// Products of a few rows of eight-bit numbers with weights, a scale per row and group (W8A8):
// reference/linear.cpp is the definition. What bounds them is reading the weights: a warp reads some
// columns from end to end, 512 inner elements at a time, 16 to a lane. Sums of lanes that share a group
// are exact in any order; they go to shared memory, where a lane to each entry adds the groups in
// theirs.
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

// What a warp keeps: sums of units, the largest powers of two that groups are made of, and the product
// of both scales for the groups that they may belong to.
template <int kRows>
struct Kept {
  static constexpr int kColumns = kRows == 1 ? 8 : 4, kUnits = kRows == 1 ? 64 : 32;
  static constexpr int kEntries = kColumns * kRows;
  int32_t sums[kEntries][kUnits + 1];  // one more spares bank conflicts
  float scales[kEntries][kUnits + 1];
};

// An entry: a lane adds up its groups.
struct Entry {
  int of_group, in_group;  // units: of a whole group, in `sum`
  int32_t sum;
  float total;

  TM_FN void end_group(float scale) {
    total = tmk::fma(static_cast<float>(sum), scale, total);
    sum = 0;
    in_group = 0;
  }
  // `scales`: of the group that is being added up, and the next ones.
  TM_FN void add(const int32_t *sums, const float *scales, int units) {
    for (int u = 0; u < units; u++) {
      sum += sums[u];
      if (++in_group == of_group) end_group(*scales++);
    }
  }
};

// kLanes neighbours share a unit.
template <int kRows, int kLanes>
struct FewRows {
  static constexpr int kColumns = Kept<kRows>::kColumns, kUnits = Kept<kRows>::kUnits;
  static constexpr int kUnit = kLanes * kPiece, kOfStep = tmk::kWarp / kLanes;
  static constexpr int kSteps = kUnits / kOfStep;
  const tmk_scaled_tiles &call;
  Kept<kRows> &kept;
  int64_t first_row, first_column;

  // That of a group which the inner elements end within.
  TM_FN float last_scale(int entry) const {
    const int64_t column = tmk::smaller_of(first_column + entry % kColumns, call.columns - 1);
    return call.left_scales[(row(entry / kColumns) + 1) * call.groups - 1] *
           call.right_scales[(call.groups - 1) * call.columns + column];
  }

  TM_FN int64_t row(int r) const { return tmk::smaller_of(first_row + r, call.rows - 1); }

  // Some steps of a column, from inner element k on.
  TM_FN void multiply(int column, int64_t k, int first_step) {
    const int lane = threadIdx.x % tmk::kWarp;
    const int64_t own = k + first_step * kStep + lane * kPiece;
    const int8_t *numbers =
        call.right + tmk::smaller_of(first_column + column, call.columns - 1) * call.padded;
    constexpr int kMany = kSteps < kAhead ? kSteps : kAhead;
    Piece weights[kMany];
#pragma unroll
    for (int i = 0; i < kMany; i++) weights[i] = read_piece(numbers, own + i * kStep, call.padded);
#pragma unroll 1
    for (int r = 0; r < kRows; r++) {
      const int8_t *left = call.left + row(r) * call.padded;
#pragma unroll
      for (int i = 0; i < kMany; i++) {
        const Piece piece = read_piece(left, own + i * kStep, call.padded);
        const int32_t sum = product<kLanes>(piece, weights[i]);
        if (lane % kLanes == 0)
          kept.sums[r * kColumns + column][(first_step + i) * kOfStep + lane / kLanes] = sum;
      }
    }
  }

  // Those of the group that inner element k is in, and the next ones.
  TM_FN void read_scales(int64_t k) {
    for (int i = threadIdx.x % tmk::kWarp; i < kUnits * Kept<kRows>::kEntries; i += tmk::kWarp) {
      const int entry = i % Kept<kRows>::kEntries, number = i / Kept<kRows>::kEntries;
      const int64_t group = tmk::smaller_of(k / call.group + number, call.groups - 1);
      const int64_t column = tmk::smaller_of(first_column + entry % kColumns, call.columns - 1);
      kept.scales[entry][number] = call.left_scales[row(entry / kColumns) * call.groups + group] *
                                   call.right_scales[group * call.columns + column];
    }
  }

  TM_FN void run() {
    const int lane = threadIdx.x % tmk::kWarp, own = lane % Kept<kRows>::kEntries;
    Entry entry{static_cast<int>(call.group / kUnit), 0, 0, 0.0f};
    for (int64_t k = 0; k < call.inner; k += kUnits * kUnit) {
      read_scales(k);
      for (int column = 0; column < kColumns; column++)
        for (int step = 0; step < kSteps && k + step * kStep < call.inner; step += kAhead)
          multiply(column, k, step);
      tmk::warp_barrier();
      const int64_t units = tmk::smaller_of(kUnits, tmk::divided_up(call.inner - k, kUnit));
      entry.add(kept.sums[own], kept.scales[own], static_cast<int>(units));
      tmk::warp_barrier();
    }
    if (entry.in_group > 0) entry.end_group(last_scale(own));
    const int64_t row = first_row + own / kColumns, column = first_column + own % kColumns;
    if (lane == own && row < call.rows && column < call.columns)
      call.out[row * call.out_row + column] = tmk::canonical(entry.total);
  }
};

template <int kRows>
TM_FN void multiply_few(const tmk_scaled_tiles &call) {
  __shared__ Kept<kRows> kept[kWarps];
  const int warp = threadIdx.x / tmk::kWarp;
  const int64_t row = int64_t{blockIdx.y} * kRows;
  const int64_t column = (int64_t{blockIdx.x} * kWarps + warp) * Kept<kRows>::kColumns;
  if (column >= call.columns) return;  // the whole warp
  switch (tmk::smaller_of(call.group & -call.group, kStep) / kPiece) {
    case 2: return FewRows<kRows, 2>{call, kept[warp], row, column}.run();
    case 4: return FewRows<kRows, 4>{call, kept[warp], row, column}.run();
    case 8: return FewRows<kRows, 8>{call, kept[warp], row, column}.run();
    case 16: return FewRows<kRows, 16>{call, kept[warp], row, column}.run();
    default: return FewRows<kRows, 32>{call, kept[warp], row, column}.run();
  }
}

}  // namespace

TM_KERNEL(linear_i8_1, kThreads, tmk_scaled_tiles) { multiply_few<1>(call); }
TM_KERNEL(linear_i8_4, kThreads, tmk_scaled_tiles) { multiply_few<4>(call); }
