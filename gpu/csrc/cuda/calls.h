// What kernels are called with where tmkernels.h has no fitting structure; gpu/cuda/calls.py mirrors
// these.
#ifndef TM_CUDA_CALLS_H
#define TM_CUDA_CALLS_H

#include "../tmkernels.h"

// A 32-bit word of the device that a kernel sets when it finds what it looks for; 0 before.
typedef uint32_t *tmk_flag;

// Bytes to compare, or to look over for what is no residue: rows of `width` bytes.
struct tmk_bytes {
  const uint8_t *left, *right;
  tmk_flag found;
  int64_t rows, width, left_stride, right_stride;
};

// Rows of `width` bytes that lie apart, copied to where they do not.
struct tmk_copy {
  const uint8_t *in;
  uint8_t *out;
  int64_t rows, width, stride;
};

// tmk_gather's indices, looked over for what is no row of the table.
struct tmk_indices {
  const int32_t *indices;
  tmk_flag found;
  int64_t count, rows;
};

// Places of tokens or rows in a cache, looked over for what it does not have.
struct tmk_places {
  const int32_t *sequences, *positions, *starts, *lengths;  // each may be null
  tmk_flag found;
  int64_t count;
  tmk_cache cache;
};

// tmk_append, and which tokens are replaced by later ones.
struct tmk_appending {
  tmk_append append;
  uint8_t *replaced;
};

// tmk_attention, and what superblocks come to: parts[superblock][row and head][2 + size].
struct tmk_attending {
  tmk_attention attention;
  float *parts;
};

// tmk_convolution, at once or in chunks of 256 inner elements: parts[group][chunk][row][column].
struct tmk_convolving {
  tmk_convolution convolution;
  float *parts;                            // or null
  int32_t height, width, inputs, outputs;  // of the result, of a group; for kernels of fours
};

// Sums of chunks to add in ascending order: out[row * out_row + group * columns + column].
struct tmk_chunk_sums {
  const float *parts;
  float *out;
  int64_t groups, chunks, rows, columns, out_row;
};

// tmk_rows_gradient of a norm, with each row's mean and 1 / its deviation, and the sums of chunks of
// 256 rows: parts[chunk][2][width].
struct tmk_norm_gradient {
  tmk_rows_gradient rows;
  float *means, *factors, *parts;
  int32_t centred;
};

// tmk_batch_norm, with what chunks of 256 rows come to: parts[chunk][2][width], products[width].
struct tmk_column_norm {
  tmk_batch_norm norm;
  float *parts, *products;
};

// Rows of numbers to be multiplied by a factor, or to be added to others.
struct tmk_scaled_matrix {
  const float *in;
  float *out;
  int64_t rows, columns, in_row, out_row;
  float factor;
};

// tmk_attention_gradient for one head: powers and slopes[rows][keys].
struct tmk_head_gradient {
  tmk_attention_gradient attention;
  float *powers, *slopes;
  int64_t head;
};

// tmk_expansion with the ChaCha20 state of block 0 in place of the key.
struct tmk_expanded {
  uint32_t state[16];
  uint8_t *out;
  uint64_t first, count;
  uint32_t values, lowest;
};

// An operand of an integer product as tiles read it: out[outer][inner], inner elements together,
// `padded` of them to a row, zero from `inner` on. A step is the distance of neighbours.
struct tmk_layout {
  const void *in;
  const uint8_t *scale;  // of residues: a factor per inner element, or null
  int8_t *out;
  int64_t outer, inner, padded, outer_step, inner_step;
};

// Products of operands that were laid out: left[rows][padded], right[columns][padded].
struct tmk_tiles {
  const int8_t *left, *right;
  void *out;
  const uint8_t *column, *row;  // of residues: the outer product to add, or null
  int64_t rows, columns, padded, out_row;
};

// The same with a scale per row and group on either side: left_scales[rows][groups],
// right_scales[groups][columns]. Sums of `group` products become floats.
struct tmk_scaled_tiles {
  const int8_t *left, *right;
  const float *left_scales, *right_scales;
  float *out;
  int64_t rows, columns, inner, padded, group, groups, out_row;
};

// Floats made eight-bit integers with a scale per row and group: out[outer][padded], zero from
// `inner` on; the scale of (row, group) lies at row * scale_row + group * scale_group.
struct tmk_quantization {
  const float *in;
  int8_t *out;
  float *scales;
  int64_t outer, inner, padded, outer_step, inner_step, group, scale_row, scale_group;
};

#endif
