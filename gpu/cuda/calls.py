"""Mirrors of the structures in csrc/cuda/calls.h; the others are those of gpu.ops.calls."""

import ctypes

from gpu.ops.calls import (
    Append,
    Attention,
    AttentionGradient,
    BatchNorm,
    Cache,
    Convolution,
    Fields,
    RowsGradient,
)

_POINTER = ctypes.c_void_p
_SIZE = ctypes.c_int64
_U64 = ctypes.c_uint64
_U32 = ctypes.c_uint32
_I32 = ctypes.c_int32


def _all(kind: type, names: str) -> Fields:
    return tuple((name, kind) for name in names.split())


class Bytes(ctypes.Structure):
    """Mirror of tmk_bytes."""

    _fields_ = (
        *_all(_POINTER, "left right found"),
        *_all(_SIZE, "rows width left_stride right_stride"),
    )


class Copy(ctypes.Structure):
    """Mirror of tmk_copy."""

    _fields_ = (*_all(_POINTER, "source out"), *_all(_SIZE, "rows width stride"))


class Indices(ctypes.Structure):
    """Mirror of tmk_indices."""

    _fields_ = (*_all(_POINTER, "indices found"), *_all(_SIZE, "count rows"))


class Places(ctypes.Structure):
    """Mirror of tmk_places."""

    _fields_ = (
        *_all(_POINTER, "sequences positions starts lengths found"),
        ("count", _SIZE),
        ("cache", Cache),
    )


class Appending(ctypes.Structure):
    """Mirror of tmk_appending."""

    _fields_ = (("append", Append), ("replaced", _POINTER))


class Attending(ctypes.Structure):
    """Mirror of tmk_attending."""

    _fields_ = (("attention", Attention), ("parts", _POINTER))


class Convolving(ctypes.Structure):
    """Mirror of tmk_convolving."""

    _fields_ = (
        ("convolution", Convolution),
        ("parts", _POINTER),
        *_all(ctypes.c_int32, "height width inputs outputs"),
    )


class ChunkSums(ctypes.Structure):
    """Mirror of tmk_chunk_sums."""

    _fields_ = (
        *_all(_POINTER, "parts out"),
        *_all(_SIZE, "groups chunks rows columns out_row"),
    )


class NormGradient(ctypes.Structure):
    """Mirror of tmk_norm_gradient."""

    _fields_ = (
        ("rows", RowsGradient),
        *_all(_POINTER, "means factors parts"),
        ("centred", _I32),
    )


class ColumnNorm(ctypes.Structure):
    """Mirror of tmk_column_norm."""

    _fields_ = (("norm", BatchNorm), *_all(_POINTER, "parts products"))


class ScaledMatrix(ctypes.Structure):
    """Mirror of tmk_scaled_matrix."""

    _fields_ = (
        *_all(_POINTER, "source out"),
        *_all(_SIZE, "rows columns source_row out_row"),
        ("factor", ctypes.c_float),
    )


class HeadGradient(ctypes.Structure):
    """Mirror of tmk_head_gradient."""

    _fields_ = (
        ("attention", AttentionGradient),
        *_all(_POINTER, "powers slopes"),
        ("head", _SIZE),
    )


class Expanded(ctypes.Structure):
    """Mirror of tmk_expanded."""

    _fields_ = (
        ("state", _U32 * 16),
        ("out", _POINTER),
        *_all(_U64, "first count"),
        *_all(_U32, "values lowest"),
    )


class Layout(ctypes.Structure):
    """Mirror of tmk_layout."""

    _fields_ = (
        *_all(_POINTER, "source scale out"),
        *_all(_SIZE, "outer inner padded outer_step inner_step"),
    )


class Tiles(ctypes.Structure):
    """Mirror of tmk_tiles."""

    _fields_ = (
        *_all(_POINTER, "left right out column row"),
        *_all(_SIZE, "rows columns padded out_row"),
    )


class ScaledTiles(ctypes.Structure):
    """Mirror of tmk_scaled_tiles."""

    _fields_ = (
        *_all(_POINTER, "left right left_scales right_scales out"),
        *_all(_SIZE, "rows columns inner padded group groups out_row"),
    )


class Quantization(ctypes.Structure):
    """Mirror of tmk_quantization."""

    _fields_ = (
        *_all(_POINTER, "source out scales"),
        *_all(_SIZE, "outer inner padded outer_step inner_step group scale_row scale_group"),
    )
