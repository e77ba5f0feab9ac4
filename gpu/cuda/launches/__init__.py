"""Operations as launches: for each operation of csrc/tmkernels.h, which kernels run on what.

An operation that is added needs a function here (`operation(stage, call)`), its kernel in
`csrc/cuda`, and nothing else: structures pass to kernels as they are.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from gpu.cuda.launches import (
    attention,
    attention_gradient,
    convolution,
    elements,
    gradients,
    linear,
    products,
    residues,
    rows,
    tokens,
    training,
)
from gpu.cuda.launches.stage import Stage

OPERATIONS: Mapping[str, Callable[[Stage, Any], None]] = {
    "unary": elements.unary,
    "binary": elements.binary,
    "cast": elements.cast,
    "random": elements.random,
    "softmax": partial(rows.rows, "softmax"),
    "rmsnorm": partial(rows.rows, "rmsnorm"),
    "layernorm": partial(rows.rows, "layernorm"),
    "row_sums": partial(rows.rows, "row_sums"),
    "best": rows.best,
    "rope": tokens.rope,
    "gather": tokens.gather,
    "append": attention.append,
    "attention": attention.attention,
    "attention_gradient": attention_gradient.attention_gradient,
    "conv2d": convolution.conv2d,
    "conv2d_input": convolution.conv2d_input,
    "conv2d_weights": convolution.conv2d_weights,
    "unary_gradient": gradients.unary_gradient,
    "softmax_gradient": gradients.softmax_gradient,
    "rmsnorm_gradient": partial(gradients.norm_gradient, "rmsnorm_gradient", False),
    "layernorm_gradient": partial(gradients.norm_gradient, "layernorm_gradient", True),
    "column_sums": gradients.column_sums,
    "cross_entropy": gradients.cross_entropy,
    "max_pool": partial(training.pool, "max_pool"),
    "max_pool_input": partial(training.pool_input, "max_pool_input"),
    "average_pool": partial(training.pool, "average_pool"),
    "average_pool_input": partial(training.pool_input, "average_pool_input"),
    "batch_norm": training.batch_norm,
    "batch_norm_gradient": training.batch_norm_gradient,
    "batch_norm_inference": training.batch_norm_inference,
    "add_bias": training.add_bias,
    "scatter": training.scatter,
    "sgd": partial(training.update, "sgd"),
    "adamw": partial(training.update, "adamw"),
    "gemm_f32": products.gemm_f32,
    "gemm_i8": products.gemm_i8,
    "chain241_product": products.chain241_product,
    "pack": linear.pack,
    "linear": linear.linear,
    "chain241_expand": residues.expand,
    "chain241_scale_rows": residues.scale_rows,
}

# What calls are asked instead of being run.
QUESTIONS: Mapping[str, Callable[[Stage, Any], int]] = {
    "packed_size": linear.packed_size,
    "chain241_is_canonical": residues.is_canonical,
}

__all__ = ["OPERATIONS", "QUESTIONS", "Stage"]
