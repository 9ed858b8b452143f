import pytest

from mcuformer_tflm.emulator.toolchain import CORE_FLAGS, build_kernels


@pytest.mark.parametrize("core", CORE_FLAGS)
def test_kernels_compile_without_a_warning_for(core):
    functions = build_kernels(core).functions
    # With the DSP extension and an FPU the inner loops are assembly; elsewhere they are C++.
    assert {"McuformerDot4x2", "McuformerDot1x2Int4", "mcuformer::WidenTokens"} <= set(functions)


def test_kernels_use_no_heap_and_no_floating_point():
    names = build_kernels("cortex-m0plus").functions
    forbidden = {"malloc", "free", "_sbrk", "__cxa_throw"}
    floating = ("__aeabi_d", "__aeabi_f", "__adddf3", "__muldf3", "__divdf3", "__addsf3")
    assert not [name for name in names if name in forbidden or name.startswith(floating)]
