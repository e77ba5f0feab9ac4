// The C interface of the kernels: plain C, loaded by gpu/cpu/library.py with ctypes.
//
// Every operation exists once per instruction set, as tmk_<isa>_<operation>, and every instruction
// set gives the same bytes with any number of threads. The caller picks one of tmk_isas(). What each
// operation computes, and in which order, is in docs/kernels.md and in reference/*.cpp.
//
// No operation allocates, throws, or touches memory outside the buffers it is given; the floating-
// point state is set on entry and put back. Matrices are row-major; strides count elements. A change
// of any signature or structure raises TMK_ABI.
#ifndef TMKERNELS_H
#define TMKERNELS_H

#include <stdint.h>

#define TMK_ABI 3

#ifdef __CUDACC_RTC__
#define TMK_EXPORT extern "C"
#else
#define TMK_EXPORT extern "C" __attribute__((visibility("default")))
#endif

// What an operation returns.
enum {
  TMK_OK = 0,
  TMK_BAD_ARGUMENT = 1,
  TMK_SMALL_WORKSPACE = 2,
  TMK_BAD_INDEX = 3,
  TMK_BAD_PLACE = 4
};

// How weights are kept; the same numbers in gpu/ops/calls.py.
enum { TMK_F32 = 0, TMK_BF16 = 1, TMK_F16 = 2, TMK_I8 = 3, TMK_I32 = 4 };

// Threads that share an operation's work: tmk_pool_open. Null: the calling thread alone.
struct tmk_pool;

// Memory an operation may use while it runs: at least what its ..._workspace says.
struct tmk_memory {
  void *address;
  uint64_t size;  // in bytes
};

// out = left · diag(scale) · right + column ⊗ row over F_241, in canonical residues 0..240. Absent
// operands are null; column and row come together.
struct tmk_product {
  const uint8_t *left;    // rows x inner
  const uint8_t *right;   // inner x columns
  uint8_t *out;           // rows x columns, overlaps no operand
  const uint8_t *scale;   // inner entries or null
  const uint8_t *column;  // rows entries or null
  const uint8_t *row;     // columns entries or null
  int64_t left_stride, right_stride, out_stride;
  int64_t rows, inner, columns;  // each 1..65536
  tmk_memory workspace;
};

// Elements first .. first+count-1 of a ChaCha20 stream: lowest + floor(values * word / 2^32).
struct tmk_expansion {
  const uint8_t *key;  // 32 bytes
  uint8_t *out;        // count bytes
  uint64_t first, count;
  uint32_t stream, step;      // the first two words of the nonce
  uint32_t values, lowest;    // 241, 0: residues; 240, 1: residues without zero
};

// A matrix of residues, and a factor for each row or null.
struct tmk_residues {
  uint8_t *matrix;
  const uint8_t *factors;
  int64_t rows, width, stride;
};

// out = left · right, rows x inner times inner x columns; float or int8 with sums in int32. The
// strides say how an operand lies: (inner, 1) as it is, (1, rows) transposed.
struct tmk_gemm {
  const void *left, *right;
  void *out;  // overlaps no operand
  int64_t rows, inner, columns;
  int64_t left_row, left_column, right_row, right_column, out_row;
  tmk_memory workspace;
  tmk_pool *pool;
};

// Weights (inner x columns floats) in the layout and type that tmk_linear reads.
struct tmk_packing {
  const float *weights;
  void *packed;  // as many bytes as ..._packed_size says, aligned to 64
  int64_t inner, columns, weights_row, weights_column;
  int32_t kind;   // TMK_F32, TMK_BF16, TMK_I8
  int32_t group;  // TMK_I8: inner elements with one scale, a multiple of 32
};

// out = left · packed weights.
struct tmk_linear {
  const float *left;
  const void *packed;
  float *out;
  int64_t rows, inner, columns, left_row, out_row;
  int32_t kind, group;
  tmk_memory workspace;
  tmk_pool *pool;
};

// out[i] = function(left[i]), or of left[i] and right[i]; the numbers of math/unary.h.
struct tmk_elements {
  const float *left, *right;
  float *out;
  int64_t count;
  int32_t function;
  tmk_pool *pool;
};

// An operation on each row of rows x width floats.
struct tmk_rows {
  const float *in, *weight, *bias;
  float *out;
  int64_t rows, width;
  float epsilon;
  tmk_pool *pool;
};

// Rotary position embedding of tokens x heads x size floats.
struct tmk_rope {
  const float *in;
  const int32_t *positions;   // tokens
  const float *frequencies;   // size / 2
  float *out;
  int64_t tokens, heads, size;
  int32_t interleaved;  // pairs are neighbours; else half the size apart
  tmk_pool *pool;
};

// out[i] = table[indices[i]], as floats.
struct tmk_gather {
  const void *table;  // rows x width of `kind`
  const int32_t *indices;
  float *out;
  int64_t count, rows, width;
  int32_t kind;  // TMK_F32, TMK_BF16, TMK_F16
  tmk_pool *pool;
};

// The `count` largest of each row, largest first; equal ones in ascending index.
struct tmk_best {
  const float *in;
  float *values;     // rows x count or null
  int32_t *indices;  // rows x count
  int64_t rows, width, count;
  tmk_pool *pool;
};

struct tmk_cast {
  const void *in;
  void *out;
  int64_t count;
  int32_t from, to;
  tmk_pool *pool;
};

// Elements first .. first+count-1 of a Philox stream.
struct tmk_random {
  void *out;
  uint64_t first, count;
  uint32_t key[2], stream, step;
  int32_t distribution;  // 0 words, 1 uniform floats, 2 normal floats
  tmk_pool *pool;
};

// Keys and values of sequences, in blocks of 64 positions from 0 on.
struct tmk_cache {
  float *keys;    // sequences x heads x blocks x size x 64
  float *values;  // sequences x heads x blocks x 64 x size rounded up to 16
  int64_t sequences, heads, blocks, size;
};

// Puts keys and values of tokens into a cache.
struct tmk_append {
  const float *keys, *values;            // tokens x heads x size
  const int32_t *sequences, *positions;  // of each token; null: sequence 0
  int64_t tokens;
  tmk_cache cache;
  tmk_pool *pool;
};

// Attention of rows x heads x size to the keys of a cache, whose heads serve heads / cache.heads
// neighbouring ones each. A row sees keys from starts[its sequence] (null: 0) to lengths[its
// sequence] - 1 (null: all); `causal`: not beyond its position; `window`: only so many up to its
// position, 0 for all.
struct tmk_attention {
  const float *queries;
  float *out;
  float *statistics;                     // rows x heads x (largest score, sum) or null
  const int32_t *sequences, *positions;  // of each row; null: sequence 0, no positions
  const int32_t *starts, *lengths;       // of each sequence
  int64_t rows, heads, window;
  tmk_cache cache;
  float scale;
  int32_t causal;
  tmk_memory workspace;
  tmk_pool *pool;
};

// A two-dimensional convolution over images in NHWC, and its gradients: each call writes one of the
// three tensors from the other two. Pairs are (of the height, of the width).
struct tmk_convolution {
  float *image;    // batch x height x width x channels
  float *weights;  // kernel height x kernel width x channels / groups x filters
  float *result;   // batch x its height x its width x filters
  int64_t batch, height, width, channels, filters, groups;
  int64_t kernel[2], stride[2], padding[2], dilation[2];
  tmk_memory workspace;
  tmk_pool *pool;
};

// The sum of 32-bit words, by pieces of TMK_PIECE words: what reading memory costs at least.
enum { TMK_PIECE = 1 << 20 };
struct tmk_reading {
  const uint32_t *words;
  uint32_t *sums;  // of each piece
  int64_t count;
  tmk_pool *pool;
};

// Windows over images in NHWC; each call writes one of image and result from the other. `taps`: which
// pixel of its window (row-major) each largest one is.
struct tmk_pooling {
  float *image;   // batch x height x width x channels
  float *result;  // batch x its height x its width x channels
  int32_t *taps;  // like the result; null for averages
  int64_t batch, height, width, channels;
  int64_t window[2], stride[2], padding[2];
  tmk_pool *pool;
};

// Normalization of each column of rows x width floats by all rows, and its gradient.
struct tmk_batch_norm {
  const float *in, *gradient, *weight, *bias;
  float *out;                              // normalized, or the input's gradient
  float *mean, *inverse;                   // of each column: its mean, 1 / its deviation
  float *running_mean, *running_variance;  // moved by `momentum`, or null
  float *weight_gradient, *bias_gradient;
  int64_t rows, width;
  float epsilon, momentum;
  tmk_memory workspace;
  tmk_pool *pool;
};

// The gradient of an operation on each row; what is null is not wanted.
struct tmk_rows_gradient {
  const float *in, *gradient, *weight;
  float *out, *weight_gradient, *bias_gradient;
  int64_t rows, width;
  float epsilon;
  tmk_memory workspace;
  tmk_pool *pool;
};

// The gradients of attention, by the scores' powers as the forward pass had them. Row i sees the keys
// up to number first + i where `causal`, else all; neighbouring heads share one of key_heads.
struct tmk_attention_gradient {
  const float *queries, *keys, *values, *out, *gradient;  // rows or keys x heads x size
  const float *statistics;                                // rows x heads x (largest score, sum)
  float *query_gradient, *key_gradient, *value_gradient;
  int64_t rows, heads, key_count, key_heads, size, first;
  float scale;
  int32_t causal;
  tmk_memory workspace;
  tmk_pool *pool;
};

// Cross entropy of the softmax of each row and the target's column.
struct tmk_cross_entropy {
  const float *in;
  const int32_t *targets;
  float *losses, *total;  // of each row, and their sum
  float *gradient;        // of the total, or null
  int64_t rows, width;
  int32_t mean;           // the total is divided by the rows
  tmk_pool *pool;
};

// out[r] = the sum of the rows of `in` whose index is r.
struct tmk_scatter {
  const float *in;         // count x width
  const int32_t *indices;  // count
  float *out;              // rows x width
  int64_t count, rows, width;
  tmk_memory workspace;
  tmk_pool *pool;
};

// One step of an optimizer, in place. `first` and `second`: its moments.
struct tmk_update {
  float *weights, *first, *second;
  const float *gradient;
  int64_t count;
  float rate, decay, beta1, beta2, rest1, rest2, correction1, correction2, epsilon;
  tmk_pool *pool;
};

#define TMK_DECLARE(isa)                                                                        \
  TMK_EXPORT int tmk_##isa##_chain241_product(const tmk_product *call);                         \
  TMK_EXPORT uint64_t tmk_##isa##_chain241_product_workspace(const tmk_product *call);          \
  TMK_EXPORT int tmk_##isa##_chain241_expand(const tmk_expansion *call);                        \
  /* matrix[i, j] = matrix[i, j] * factors[i] mod 241, in place. */                             \
  TMK_EXPORT int tmk_##isa##_chain241_scale_rows(const tmk_residues *call);                     \
  /* 1 when all bytes are canonical residues (at most 240), else 0. */                          \
  TMK_EXPORT uint64_t tmk_##isa##_chain241_is_canonical(const tmk_residues *call);              \
  TMK_EXPORT int tmk_##isa##_gemm_f32(const tmk_gemm *call);                                    \
  TMK_EXPORT uint64_t tmk_##isa##_gemm_f32_workspace(const tmk_gemm *call);                     \
  TMK_EXPORT int tmk_##isa##_gemm_i8(const tmk_gemm *call);                                     \
  TMK_EXPORT uint64_t tmk_##isa##_gemm_i8_workspace(const tmk_gemm *call);                      \
  TMK_EXPORT uint64_t tmk_##isa##_packed_size(const tmk_packing *call);                         \
  TMK_EXPORT int tmk_##isa##_pack(const tmk_packing *call);                                     \
  TMK_EXPORT int tmk_##isa##_linear(const tmk_linear *call);                                    \
  TMK_EXPORT uint64_t tmk_##isa##_linear_workspace(const tmk_linear *call);                     \
  TMK_EXPORT int tmk_##isa##_unary(const tmk_elements *call);                                   \
  TMK_EXPORT int tmk_##isa##_binary(const tmk_elements *call);                                  \
  TMK_EXPORT int tmk_##isa##_softmax(const tmk_rows *call);                                     \
  TMK_EXPORT int tmk_##isa##_rmsnorm(const tmk_rows *call);                                     \
  TMK_EXPORT int tmk_##isa##_layernorm(const tmk_rows *call);                                   \
  TMK_EXPORT int tmk_##isa##_row_sums(const tmk_rows *call);                                    \
  TMK_EXPORT int tmk_##isa##_rope(const tmk_rope *call);                                        \
  TMK_EXPORT int tmk_##isa##_gather(const tmk_gather *call);                                    \
  TMK_EXPORT int tmk_##isa##_best(const tmk_best *call);                                        \
  TMK_EXPORT int tmk_##isa##_cast(const tmk_cast *call);                                        \
  TMK_EXPORT int tmk_##isa##_random(const tmk_random *call);                                    \
  TMK_EXPORT int tmk_##isa##_append(const tmk_append *call);                                    \
  TMK_EXPORT int tmk_##isa##_attention(const tmk_attention *call);                              \
  TMK_EXPORT uint64_t tmk_##isa##_attention_workspace(const tmk_attention *call);               \
  TMK_EXPORT int tmk_##isa##_read(const tmk_reading *call);                                     \
  TMK_EXPORT int tmk_##isa##_conv2d(const tmk_convolution *call);                               \
  TMK_EXPORT uint64_t tmk_##isa##_conv2d_workspace(const tmk_convolution *call);                \
  TMK_EXPORT int tmk_##isa##_conv2d_input(const tmk_convolution *call);                         \
  TMK_EXPORT uint64_t tmk_##isa##_conv2d_input_workspace(const tmk_convolution *call);          \
  TMK_EXPORT int tmk_##isa##_conv2d_weights(const tmk_convolution *call);                       \
  TMK_EXPORT uint64_t tmk_##isa##_conv2d_weights_workspace(const tmk_convolution *call);        \
  TMK_EXPORT int tmk_##isa##_unary_gradient(const tmk_elements *call);                          \
  TMK_EXPORT int tmk_##isa##_max_pool(const tmk_pooling *call);                                 \
  TMK_EXPORT int tmk_##isa##_max_pool_input(const tmk_pooling *call);                           \
  TMK_EXPORT int tmk_##isa##_average_pool(const tmk_pooling *call);                             \
  TMK_EXPORT int tmk_##isa##_average_pool_input(const tmk_pooling *call);                       \
  TMK_EXPORT int tmk_##isa##_batch_norm(const tmk_batch_norm *call);                            \
  TMK_EXPORT uint64_t tmk_##isa##_batch_norm_workspace(const tmk_batch_norm *call);             \
  TMK_EXPORT int tmk_##isa##_batch_norm_gradient(const tmk_batch_norm *call);                   \
  TMK_EXPORT uint64_t tmk_##isa##_batch_norm_gradient_workspace(const tmk_batch_norm *call);    \
  TMK_EXPORT int tmk_##isa##_batch_norm_inference(const tmk_batch_norm *call);                  \
  TMK_EXPORT uint64_t tmk_##isa##_batch_norm_inference_workspace(const tmk_batch_norm *call);   \
  TMK_EXPORT int tmk_##isa##_add_bias(const tmk_rows *call);                                    \
  TMK_EXPORT int tmk_##isa##_softmax_gradient(const tmk_rows_gradient *call);                   \
  TMK_EXPORT uint64_t tmk_##isa##_softmax_gradient_workspace(const tmk_rows_gradient *call);    \
  TMK_EXPORT int tmk_##isa##_rmsnorm_gradient(const tmk_rows_gradient *call);                   \
  TMK_EXPORT uint64_t tmk_##isa##_rmsnorm_gradient_workspace(const tmk_rows_gradient *call);    \
  TMK_EXPORT int tmk_##isa##_layernorm_gradient(const tmk_rows_gradient *call);                 \
  TMK_EXPORT uint64_t tmk_##isa##_layernorm_gradient_workspace(const tmk_rows_gradient *call);  \
  TMK_EXPORT int tmk_##isa##_column_sums(const tmk_rows_gradient *call);                        \
  TMK_EXPORT uint64_t tmk_##isa##_column_sums_workspace(const tmk_rows_gradient *call);         \
  TMK_EXPORT int tmk_##isa##_attention_gradient(const tmk_attention_gradient *call);            \
  TMK_EXPORT uint64_t tmk_##isa##_attention_gradient_workspace(                                 \
      const tmk_attention_gradient *call);                                                      \
  TMK_EXPORT int tmk_##isa##_cross_entropy(const tmk_cross_entropy *call);                      \
  TMK_EXPORT int tmk_##isa##_scatter(const tmk_scatter *call);                                  \
  TMK_EXPORT uint64_t tmk_##isa##_scatter_workspace(const tmk_scatter *call);                   \
  TMK_EXPORT int tmk_##isa##_sgd(const tmk_update *call);                                       \
  TMK_EXPORT int tmk_##isa##_adamw(const tmk_update *call)

TMK_DECLARE(baseline);
#ifdef __x86_64__
TMK_DECLARE(avx2);
TMK_DECLARE(avx512);
#endif

TMK_EXPORT int tmk_abi(void);

// The instruction sets this build has and this machine runs, best first, separated by spaces.
TMK_EXPORT const char *tmk_isas(void);

// The size of a structure, counted from 0 in the order above, and 0 after the last: what the
// caller's mirrors must have.
TMK_EXPORT uint64_t tmk_size(int structure);

// `threads` counts the caller; null when they cannot be had. Closing waits for the threads to end.
TMK_EXPORT tmk_pool *tmk_pool_open(int threads);
TMK_EXPORT void tmk_pool_close(tmk_pool *pool);
TMK_EXPORT int tmk_pool_threads(const tmk_pool *pool);

// The entry point of an operation in the sources that are compiled once per instruction set.
#define TMK_JOINED(isa, operation) tmk_##isa##_##operation
#define TMK_NAMED(isa, operation) TMK_JOINED(isa, operation)
#define TMK_ENTRY(operation) TMK_NAMED(TMK_ISA, operation)

#endif
