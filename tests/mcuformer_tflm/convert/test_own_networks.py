"""Networks of our layers in another order than a subnet's go the road that subnets go."""

import dataclasses
import re

import numpy as np
import pytest
import tf_keras
from own_networks import IMAGE_SHAPE, drawn, images, two_stems

from mcuformer_tflm import (
    MicroInterpreter,
    QuantizationConfig,
    convert,
    load_model,
    normalise,
    quantization_report,
    quantize,
    quantize_images,
)
from mcuformer_tflm.convert.metadata import rewrite_metadata
from mcuformer_tflm.custom_ops.reference.patch_embed import MODES
from mcuformer_tflm.firmware.emulation import emulate_firmware
from mcuformer_tflm.firmware.project import export_firmware
from mcuformer_tflm.keras_models import (
    Add,
    FullyConnected,
    LayerNorm,
    MeanPool,
    PatchEmbed,
    TokenPool,
)
from mcuformer_tflm.keras_models.exceptions import BudgetError, ConfigError
from mcuformer_tflm.plan.cortex_m import arena_content, cortex_m_arena_bytes
from mcuformer_tflm.plan.macs import graph_macs
from mcuformer_tflm.plan.planner import plan_memory, read_plan
from mcuformer_tflm.runtime.model_twin import twin_values
from mcuformer_tflm.search.cost.memory import num_macs
from mcuformer_tflm.search.cost.tflm_arena import tflm_arena
from mcuformer_tflm.tflite.model_graph import read_graph

KINDS = ("a", "b", "c", "d", "e")
LABELS = {"kind": KINDS, "age": ("old", "young")}
PICTURES = quantize_images(images())
ENDS = ["LayerNorm", "MeanPool", "FullyConnected", "FullyConnected"]
STEMS = ["PatchEmbed", "TokenPool", "ConvStem", "Add"]
BLOCK = ["Attention", "FullyConnected", "Mlp"]
LAYERS = ["LayerNorm", "FullyConnected", "Attention", "FullyConnected", "LayerNorm"]
WAYS = {
    "streamed": [*STEMS, *BLOCK, "TokenPool", *BLOCK, *ENDS],
    "kept": [*STEMS, "LayerNorm", *BLOCK, "TokenPool", "LayerNorm", *BLOCK, *ENDS],
    "paper": [
        *STEMS, *LAYERS, *["FullyConnected"] * 2, "Gelu", *["FullyConnected"] * 2, "TokenPool",
        *LAYERS, "FullyConnected", "Gelu", "FullyConnected", *ENDS,
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def network():
    # A stream of 16 bits and weights of 4, where most could go wrong.
    return quantize(two_stems(), images(32), epochs=0, config=QuantizationConfig(4, 16))


@pytest.fixture(scope="module")
def models(network):
    return {way: convert(network, LABELS, schedule=way) for way in WAYS}


def operators(model):
    return [operator.code.removeprefix("Mcuformer") for operator in read_graph(model).operators]


@pytest.mark.parametrize("way", WAYS)
def test_a_schedule_fuses_what_it_fuses_in_subnets(models, way):
    assert operators(models[way]) == WAYS[way]


@pytest.mark.parametrize("way", ["streamed", "paper"])
def test_tflm_gives_the_quantized_networks_values_and_the_twins_bytes_in_every_output(
    network, models, way
):
    interpreter = MicroInterpreter(models[way])
    found = interpreter.run_outputs(PICTURES)
    real = interpreter.run_outputs(PICTURES, dequantize=True)
    assert list(found) == ["kind", "b_fc2", "age"]
    assert [str(values.dtype) for values in found.values()] == ["int8", "int16", "int8"]
    for values, wanted in zip(real.values(), network(images()), strict=True):
        np.testing.assert_allclose(values, wanted, rtol=1e-6)
    twin = twin_values(interpreter.graph, PICTURES[:1])
    for values, index in zip(found.values(), interpreter.graph.outputs, strict=True):
        np.testing.assert_array_equal(values[:1], twin[index])
        assert len(np.unique(values)) > 3


@pytest.mark.parametrize("way", ["streamed", "paper"])
@pytest.mark.parametrize("planner", ["mcuformer", "tflm"])
def test_its_arena_is_planned_and_predicted_to_the_byte(models, way, planner):
    opened = MicroInterpreter(models[way], planner=planner)
    assert opened.plan == read_plan(opened.graph) == plan_memory(models[way])
    content = arena_content(opened.graph, opened.plan, planner=planner)
    computed = tflm_arena(content, pointer_bytes=8, planner=planner, wheel=True)
    use = opened.arena_use
    assert (use.head, use.tail, use.smallest_arena) == dataclasses.astuple(computed)


@pytest.mark.parametrize("board", ["stm32f427", "stm32f746"])
def test_its_firmware_writes_every_output_one_behind_the_other(models, board):
    emulated = emulate_firmware(models["streamed"], board, PICTURES[:3])
    assert emulated.equal == 3
    found = MicroInterpreter(models["streamed"]).run_outputs(PICTURES[:3])
    kind, tokens, age = np.split(emulated.run.outputs, [5, 5 + 2 * 6 * 8], axis=1)
    np.testing.assert_array_equal(kind, found["kind"])
    stream = np.ascontiguousarray(tokens).view("<i2").reshape(3, 6, 8)
    np.testing.assert_array_equal(stream, found["b_fc2"])
    np.testing.assert_array_equal(age, found["age"])


def test_its_firmwares_header_tells_where_each_output_lies_and_what_it_stands_for(models, tmp_path):
    export_firmware(models["streamed"], "stm32f746", tmp_path / "firmware")
    text = (tmp_path / "firmware/model_shape.h").read_text()
    told = dict(re.findall(r"#define MCUFORMER_(OUTPUT_\w+) (\S+)", text))
    graph = read_graph(models["streamed"])
    assert int(told["OUTPUT_BYTES"]) == 5 + 96 + 2
    assert [int(told[f"OUTPUT_{n}_OFFSET"]) for n in ("KIND", "B_FC2", "AGE")] == [0, 5, 101]
    for index, name in zip(graph.outputs, ("KIND", "B_FC2", "AGE"), strict=True):
        tensor = graph.tensors[index]
        assert np.float32(told[f"OUTPUT_{name}_SCALE"].rstrip("f")) == np.float32(tensor.scale)
        assert int(told[f"OUTPUT_{name}_ZERO_POINT"]) == tensor.zero_point
        assert int(told[f"OUTPUT_{name}_BYTES"]) == tensor.size


def test_a_subnet_is_the_same_operators_as_the_model_of_its_layers(
    subnet, model, interpreter, fashion_mnist
):
    # The session's model is that of the subnet, quantized with the same images.
    alike = tf_keras.Model(subnet.input, subnet.output)
    own = convert(quantize(alike, fashion_mnist.train_images[:128], epochs=0), fashion_mnist.labels)
    bare = [dataclasses.replace(read_graph(each), metadata={}) for each in (model, own)]
    assert bare[0] == bare[1]
    opened = MicroInterpreter(own)
    assert (opened.architecture, opened.labels) == (None, interpreter.labels)
    source = quantize_images(fashion_mnist.test_images[:2])
    np.testing.assert_array_equal(opened.run(source), interpreter.run(source))
    assert graph_macs(opened.graph) == num_macs(subnet.architecture)


def tapped(network, *names):
    """The model of some of a network's tensors."""
    return tf_keras.Model(network.input, [network.get_layer(name).output for name in names])


@pytest.mark.parametrize("way", ["streamed", "paper"])
def test_what_is_also_an_output_is_made_and_held_to_the_end(network, way):
    # A residual that would be overwritten, what attention normalises and an MLP activates within,
    # and an embedding that the last operator would overwrite.
    taps = tapped(network, "a_projection", "b_norm_1", "b_gelu", "embedding", "kind")
    model = convert(taps, {"kind": KINDS}, schedule=way)
    if way == "streamed":
        mlp = ["LayerNorm", "FullyConnected", "Gelu"]
        assert operators(model) == [
            *STEMS, *BLOCK, "TokenPool", "LayerNorm", "Attention", "FullyConnected", *mlp,
            "FullyConnected", "LayerNorm", "MeanPool", "FullyConnected",
        ]  # fmt: skip
    found = MicroInterpreter(model).run_outputs(PICTURES, dequantize=True)
    for values, wanted in zip(found.values(), taps(normalise(images())), strict=True):
        np.testing.assert_allclose(values, wanted, rtol=1e-6)


def test_labels_belong_to_outputs_by_name_and_are_read_back(models):
    interpreter = MicroInterpreter(models["streamed"])
    assert interpreter.output_labels == LABELS
    assert interpreter.labels == KINDS
    assert rewrite_metadata(models["streamed"]) == models["streamed"]
    with pytest.raises(ConfigError, match="gives kind and b_fc2 and age; run_outputs"):
        interpreter.run(PICTURES)


def test_an_embedding_has_no_labels_and_keeps_its_own_scale(network):
    interpreter = MicroInterpreter(convert(tapped(network, "embedding")))
    assert (interpreter.labels, interpreter.output_labels) == ((), {})
    scale = float(network.get_layer("embedding").output_quantizations()[0].scale)
    (output,) = (interpreter.graph.tensors[i] for i in interpreter.graph.outputs)
    assert output.scale == np.float32(scale)
    assert interpreter.run(PICTURES).shape == (len(PICTURES), 8)


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        (KINDS, r"gives kind and b_fc2 and age; say which .*labels=\{'kind': \[...\]\}"),
        ({"b_fc2": KINDS}, r"b_fc2 gives \[6, 8\] an image and is no logits"),
        ({"head": KINDS}, "labels names 'head', which is no output"),
        ({"kind": KINDS[:2]}, "labels has 2 entries; the network has 5"),
        ({"kind": None}, "labels is None; give a list"),
    ],
)
def test_labels_that_belong_to_no_logits_are_refused(network, labels, named):
    with pytest.raises(ConfigError, match=named):
        convert(network, labels)


def test_a_budget_is_used_up_for_speed_or_told_to_be_too_small(network):
    young = tapped(network, "age")
    sizes = {}
    for way in ("streamed", "kept"):
        model = convert(young, LABELS["age"], schedule=way)
        sizes[way] = cortex_m_arena_bytes(read_graph(model), read_plan(read_graph(model)))
    auto = convert(young, LABELS["age"], arena_budget=sizes["kept"])
    assert operators(auto).count("LayerNorm") == 3
    auto = convert(young, LABELS["age"], arena_budget=sizes["streamed"])
    assert operators(auto).count("LayerNorm") == 1
    with pytest.raises(BudgetError, match=f"is {sizes['streamed']:,}, by schedule='auto'"):
        convert(young, LABELS["age"], arena_budget=sizes["streamed"] - 1)
    with pytest.raises(ConfigError, match="fine and coarse read the image, each row of which"):
        convert(young, LABELS["age"], image="strips")


def test_the_report_tells_of_each_layer_of_its_branches(network):
    report = quantization_report(network, images())
    assert {row.layer for row in report.layers} == {n.name for n in network.operators()}
    assert all(row.sqnr > 15 for row in report.layers)


def test_saved_and_loaded_it_converts_to_the_same_bytes(network, models, tmp_path):
    network.save(tmp_path / "own.keras")
    found = load_model(tmp_path / "own.keras")
    assert convert(found, LABELS, schedule="streamed") == models["streamed"]
    tapped(two_stems(), "kind").save(tmp_path / "float.keras")
    assert not load_model(tmp_path / "float.keras").quantized


def test_trained_on_with_its_rounding_and_fed_in_strips_it_is_the_same_network():
    tf_keras.utils.set_random_seed(0)
    image = tf_keras.Input(IMAGE_SHAPE)
    x = TokenPool((4, 6), name="pool")(PatchEmbed(4, 4, name="stem")(image))
    network = drawn(tf_keras.Model(image, FullyConnected(2, name="head")(MeanPool()(x))))
    classes = np.arange(64, dtype=np.int32) % 2
    trained = quantize(network, images(64), classes, batch_size=32, epochs=1)
    before, after = (each.get_layer("stem").kernel for each in (network, trained))
    assert np.abs(before - after).max() > 1e-4
    wanted = trained(images())
    for way in ("whole", "strips"):
        interpreter = MicroInterpreter(convert(trained, ["no", "yes"], image=way))
        (values,) = interpreter.run_outputs(PICTURES, dequantize=True).values()
        np.testing.assert_allclose(values, wanted, rtol=1e-6)


@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize(("bits", "last"), [(8, "in place"), (16, "whole")])
def test_the_last_stem_overwrites_the_image_where_its_tokens_have_room(bits, last):
    image = tf_keras.Input((4, 6, 3))
    # Patches of 12 bytes: room for 8 values of a byte, and not for 8 of two.
    stems = [PatchEmbed(8, 2, name=name)(image) for name in ("first", "last")]
    network = drawn(tf_keras.Model(image, LayerNorm(name="norm")(Add(name="sum")(stems))))
    pictures = np.random.default_rng(0).integers(0, 256, (32, 4, 6, 3), dtype=np.uint8)
    config = QuantizationConfig(residual_bits=bits)
    graph = read_graph(convert(quantize(network, pictures, epochs=0, config=config)))
    stems = [operator for operator in graph.operators if operator.code == "McuformerPatchEmbed"]
    assert [MODES[stem.options["mode"]] for stem in stems] == ["whole", last]


@pytest.mark.usefixtures("op_by_op")
def test_a_tile_may_be_as_large_as_the_largest_patch_of_any_stem():
    image = tf_keras.Input(IMAGE_SHAPE)
    ends = [LayerNorm(name=f"norm_{patch}")(PatchEmbed(4, patch, name=f"stem_{patch}")(image))
            for patch in (2, 8)]  # fmt: skip
    network = quantize(drawn(tf_keras.Model(image, ends)), images(32), epochs=0)
    assert convert(network, tile=8)
    with pytest.raises(ConfigError, match="tile is 9; it must be at most 8"):
        convert(network, tile=9)


def test_branches_that_cancel_each_other_out_are_refused_by_their_sums_name():
    image = tf_keras.Input(IMAGE_SHAPE)
    stem = PatchEmbed(4, 8, name="stem")(image)
    other = PatchEmbed(4, 8, name="other")
    network = tf_keras.Model(image, LayerNorm(name="norm")(Add(name="sum")([stem, other(image)])))
    weights = network.get_layer("stem").get_weights()
    other.set_weights([-weight for weight in weights])
    quantized = quantize(network, images(32), epochs=0)
    with pytest.raises(ConfigError, match=r"sum adds tensors .*scales cannot be joined. Leave"):
        convert(quantized)
