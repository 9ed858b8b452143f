import dataclasses

from mcuformer_tflm.bench.supernet_step import CASES, measure


def test_supernet_step_is_timed_beside_the_static_network_in_two_traces():
    # The paper's own space at a size that a test has time for: fewer, narrower blocks.
    small = dataclasses.replace(
        CASES["paper"].space, image_size=48, embed_dim=(16, 24), depth=(1, 2), num_classes=10
    )
    seen = []
    case = dataclasses.replace(CASES["paper"], space=small, batch_size=2, repeats=2)
    rows = list(measure("small", case, lambda *report: seen.append(report)))
    values = {row.metric: row.value for row in rows}
    assert {row.case for row in rows} == {"supernet_step/small"}
    assert values["traces"] == 2
    assert values["ratio"] == values["seconds"] / values["seconds_static"] > 0
    assert seen[-1] == ("supernet step, small", 2, 2)
