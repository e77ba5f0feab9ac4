"""What a kernel is called with: mirrors of the structures in csrc/tmkernels.h.

Addresses are of the device's own memory. `workspace` and `pool` are the device's to fill in.
"""

import ctypes

_POINTER = ctypes.c_void_p
_SIZE = ctypes.c_int64
_U64 = ctypes.c_uint64
_U32 = ctypes.c_uint32
_I32 = ctypes.c_int32
Pair = _SIZE * 2

Fields = tuple[tuple[str, type], ...]


def _all(kind: type, names: str) -> Fields:
    return tuple((name, kind) for name in names.split())


class Memory(ctypes.Structure):
    """Mirror of tmk_memory."""

    _fields_ = (("address", _POINTER), ("size", _U64))


class Product(ctypes.Structure):
    """Mirror of tmk_product."""

    _fields_ = (
        *_all(_POINTER, "left right out scale column row"),
        *_all(_SIZE, "left_stride right_stride out_stride rows inner columns"),
        ("workspace", Memory),
    )


class Expansion(ctypes.Structure):
    """Mirror of tmk_expansion."""

    _fields_ = (
        ("key", ctypes.c_char_p),
        ("out", _POINTER),
        *_all(_U64, "first count"),
        *_all(_U32, "stream step values lowest"),
    )


class ResidueRows(ctypes.Structure):
    """Mirror of tmk_residues."""

    _fields_ = (*_all(_POINTER, "matrix factors"), *_all(_SIZE, "rows width stride"))


class Gemm(ctypes.Structure):
    """Mirror of tmk_gemm."""

    _fields_ = (
        *_all(_POINTER, "left right out"),
        *_all(_SIZE, "rows inner columns left_row left_column right_row right_column out_row"),
        ("workspace", Memory),
        ("pool", _POINTER),
    )


class Packing(ctypes.Structure):
    """Mirror of tmk_packing."""

    _fields_ = (
        *_all(_POINTER, "weights packed"),
        *_all(_SIZE, "inner columns weights_row weights_column"),
        *_all(_I32, "kind group"),
    )


class Linear(ctypes.Structure):
    """Mirror of tmk_linear."""

    _fields_ = (
        *_all(_POINTER, "left packed out"),
        *_all(_SIZE, "rows inner columns left_row out_row"),
        *_all(_I32, "kind group"),
        ("workspace", Memory),
        ("pool", _POINTER),
    )


class Elements(ctypes.Structure):
    """Mirror of tmk_elements."""

    _fields_ = (
        *_all(_POINTER, "left right out"),
        ("count", _SIZE),
        ("function", _I32),
        ("pool", _POINTER),
    )


class Rows(ctypes.Structure):
    """Mirror of tmk_rows."""

    _fields_ = (
        *_all(_POINTER, "input weight bias out"),
        *_all(_SIZE, "rows width"),
        ("epsilon", ctypes.c_float),
        ("pool", _POINTER),
    )


class Rope(ctypes.Structure):
    """Mirror of tmk_rope."""

    _fields_ = (
        *_all(_POINTER, "input positions frequencies out"),
        *_all(_SIZE, "tokens heads size"),
        ("interleaved", _I32),
        ("pool", _POINTER),
    )


class Gather(ctypes.Structure):
    """Mirror of tmk_gather."""

    _fields_ = (
        *_all(_POINTER, "table indices out"),
        *_all(_SIZE, "count rows width"),
        ("kind", _I32),
        ("pool", _POINTER),
    )


class Best(ctypes.Structure):
    """Mirror of tmk_best."""

    _fields_ = (
        *_all(_POINTER, "input values indices"),
        *_all(_SIZE, "rows width count"),
        ("pool", _POINTER),
    )


class Cast(ctypes.Structure):
    """Mirror of tmk_cast."""

    _fields_ = (
        *_all(_POINTER, "input out"),
        ("count", _SIZE),
        *_all(_I32, "source target"),
        ("pool", _POINTER),
    )


class Random(ctypes.Structure):
    """Mirror of tmk_random."""

    _fields_ = (
        ("out", _POINTER),
        *_all(_U64, "first count"),
        ("key", _U32 * 2),
        *_all(_U32, "stream step"),
        ("distribution", _I32),
        ("pool", _POINTER),
    )


class Cache(ctypes.Structure):
    """Mirror of tmk_cache."""

    _fields_ = (
        *_all(_POINTER, "keys values"),
        *_all(_SIZE, "sequences heads blocks size"),
    )


class Append(ctypes.Structure):
    """Mirror of tmk_append."""

    _fields_ = (
        *_all(_POINTER, "keys values sequences positions"),
        ("tokens", _SIZE),
        ("cache", Cache),
        ("pool", _POINTER),
    )


class Attention(ctypes.Structure):
    """Mirror of tmk_attention."""

    _fields_ = (
        *_all(_POINTER, "queries out statistics sequences positions starts lengths"),
        *_all(_SIZE, "rows heads window"),
        ("cache", Cache),
        ("scale", ctypes.c_float),
        ("causal", _I32),
        ("workspace", Memory),
        ("pool", _POINTER),
    )


class Convolution(ctypes.Structure):
    """Mirror of tmk_convolution."""

    _fields_ = (
        *_all(_POINTER, "image weights result"),
        *_all(_SIZE, "batch height width channels filters groups"),
        *_all(Pair, "kernel stride padding dilation"),
        ("workspace", Memory),
        ("pool", _POINTER),
    )


class Reading(ctypes.Structure):
    """Mirror of tmk_reading."""

    _fields_ = (
        *_all(_POINTER, "words sums"),
        ("count", _SIZE),
        ("pool", _POINTER),
    )


class Pooling(ctypes.Structure):
    """Mirror of tmk_pooling."""

    _fields_ = (
        *_all(_POINTER, "image result taps"),
        *_all(_SIZE, "batch height width channels"),
        *_all(Pair, "window stride padding"),
        ("pool", _POINTER),
    )


class BatchNorm(ctypes.Structure):
    """Mirror of tmk_batch_norm."""

    _fields_ = (
        *_all(_POINTER, "input gradient weight bias out mean inverse"),
        *_all(_POINTER, "running_mean running_variance weight_gradient bias_gradient"),
        *_all(_SIZE, "rows width"),
        *_all(ctypes.c_float, "epsilon momentum"),
        ("workspace", Memory),
        ("pool", _POINTER),
    )


class RowsGradient(ctypes.Structure):
    """Mirror of tmk_rows_gradient."""

    _fields_ = (
        *_all(_POINTER, "input gradient weight out weight_gradient bias_gradient"),
        *_all(_SIZE, "rows width"),
        ("epsilon", ctypes.c_float),
        ("workspace", Memory),
        ("pool", _POINTER),
    )


class CrossEntropy(ctypes.Structure):
    """Mirror of tmk_cross_entropy."""

    _fields_ = (
        *_all(_POINTER, "input targets losses total gradient"),
        *_all(_SIZE, "rows width"),
        ("mean", _I32),
        ("pool", _POINTER),
    )


class Scatter(ctypes.Structure):
    """Mirror of tmk_scatter."""

    _fields_ = (
        *_all(_POINTER, "input indices out"),
        *_all(_SIZE, "count rows width"),
        ("workspace", Memory),
        ("pool", _POINTER),
    )


class Update(ctypes.Structure):
    """Mirror of tmk_update."""

    _fields_ = (
        *_all(_POINTER, "weights first second gradient"),
        ("count", _SIZE),
        *_all(ctypes.c_float, "rate decay beta1 beta2 rest1 rest2 correction1 correction2 epsilon"),
        ("pool", _POINTER),
    )


class AttentionGradient(ctypes.Structure):
    """Mirror of tmk_attention_gradient."""

    _fields_ = (
        *_all(_POINTER, "queries keys values out gradient statistics"),
        *_all(_POINTER, "query_gradient key_gradient value_gradient"),
        *_all(_SIZE, "rows heads key_count key_heads size first"),
        ("scale", ctypes.c_float),
        ("causal", _I32),
        ("workspace", Memory),
        ("pool", _POINTER),
    )


# In the order of tmk_size.
STRUCTURES: tuple[type[ctypes.Structure], ...] = (
    Product,
    Expansion,
    ResidueRows,
    Gemm,
    Packing,
    Linear,
    Elements,
    Rows,
    Rope,
    Gather,
    Best,
    Cast,
    Random,
    Cache,
    Append,
    Attention,
    Reading,
    Convolution,
    Pooling,
    BatchNorm,
    RowsGradient,
    CrossEntropy,
    Scatter,
    Update,
    AttentionGradient,
)
