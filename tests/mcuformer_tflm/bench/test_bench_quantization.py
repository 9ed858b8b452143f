import dataclasses

from mcuformer_tflm.bench import quantization
from mcuformer_tflm.bench.quantization import NETWORK, OPTIONS, Work, compare


def test_options_cost_arena_save_flash_and_gain_signal(monkeypatch):
    # Wide, so that weights are most of the file.
    small = dataclasses.replace(
        NETWORK, patch_size=7, embed_dim=48, num_heads=(2,), mlp_ratio=(2.0,)
    )
    monkeypatch.setattr(quantization, "NETWORK", small)
    few = Work(trained=640, epochs=1, trained_quantized=640, tested=100, measured=64)
    wide = OPTIONS["weight_4_residual_16"]
    rows = list(compare({"int8": OPTIONS["int8"], "wide": wide}, few, lambda *_: None))
    found = {(row.case, row.metric): row.value for row in rows}
    assert 0 < found["float", "top1_float"] < 1
    assert found["wide", "arena_bytes"] > found["int8", "arena_bytes"]
    assert found["wide", "flash_bytes"] < 0.8 * found["int8", "flash_bytes"]
    for case in ("int8", "wide"):
        assert abs(found[case, "top1_trained"] - found["float", "top1_float"]) < 0.4
        assert found[case, "within_1_lsb"] == 1
        assert 5 < found[case, "logits_sqnr"] < 60
