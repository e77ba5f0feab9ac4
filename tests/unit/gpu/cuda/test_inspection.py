import pytest

from gpu.cuda.inspection import Usage, forbidden, usages

PTX = """
.visible .entry exp(
	.param .u64 exp_param_0
)
{
	ld.param.u64 	%rd1, [exp_param_0];
	ld.global.f32 	%f1, [%rd1];
	@%p1 bra 	$L__BB0_2;
	fma.rn.f32 	%f2, %f1, 0f3FB8AA3B, 0f4B400000;
	cvt.rn.f32.s32 	%f3, %r1;
	setp.gt.f32 	%p1, %f1, %f2;
	{INSTRUCTION}
	st.global.v4.f32 	[%rd1], {%f1, %f2, %f3, %f3};
	ret;
}
"""


def test_exact_instructions_are_allowed():
    assert forbidden(PTX) == []
    for instruction in (
        *("add.rn.f32", "rcp.rn.f32", "div.rn.f64", "sqrt.rn.f32", "neg.f32", "selp.f32"),
        *("cvt.rzi.s32.f32", "cvt.rn.f32.f64", "cvt.f64.f32", "mov.f32", "setp.nan.f32"),
        *("mad.lo.s32", "add.s32", "shfl.sync.bfly.b32"),
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32",
        "cp.async.cg.shared.global",
    ):
        assert forbidden(PTX.replace("{INSTRUCTION}", f"{instruction} 	%f2, %f1;")) == []


@pytest.mark.parametrize(
    "instruction",
    [
        *("ex2.approx.f32", "ex2.approx.ftz.f32", "rsqrt.approx.f32", "sin.approx.f32"),
        *("add.f32", "mul.f32", "fma.rz.f32", "add.rn.ftz.f32", "add.rz.f32", "mad.f32"),
        *(
            "div.full.f32",
            "div.approx.f32",
            "sqrt.approx.f32",
            "rcp.approx.ftz.f32",
            "tanh.approx.f32",
        ),
        *(
            "max.f32",
            "min.f32",
            "cvt.f32.s32",
            "cvt.rni.f32.f32",
            "cvt.sat.f32.f32",
            "cvt.rz.f32.f64",
        ),
        *("atom.global.add.f32", "atom.global.add.u32", "red.global.add.f32"),
        *("fma.rn.f16", "fma.rn.bf16x2", "cvt.rn.bf16.f32", "cvt.rn.f16.f32"),
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32",
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32",
        "wmma.mma.sync.aligned.row.col.m16n16k16.f32.f32",
        "wgmma.mma_async.sync.aligned.m64n8k32.s32.s8.s8",
        "redux.sync.min.f32",
    ],
)
def test_others_are_named(instruction):
    assert forbidden(PTX.replace("{INSTRUCTION}", f"{instruction} 	%f2, %f1;")) == [instruction]
    assert forbidden(PTX.replace("{INSTRUCTION}", f"@!%p3 {instruction} 	%f2, %f1;")) == [
        instruction
    ]


def test_usages_are_read_from_the_log():
    log = """
ptxas info    : Compiling entry function 'one' for 'sm_90'
ptxas info    : Function properties for one
    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 128 bytes smem
ptxas info    : Compiling entry function 'two' for 'sm_90'
ptxas info    : Function properties for two
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 7 registers, used 0 barriers
"""
    assert usages(log) == [Usage("one", 8, 16, 32, 128), Usage("two", 0, 0, 7, 0)]
