"""Each option of a network, quantized: layers, twin, TFLM and firmware agree on every byte, and
all sizes are known before there is a network."""

import dataclasses
from functools import cache

import numpy as np
import pytest
import tf_keras
from op_by_op import op_by_op

from mcuformer_tflm import (
    Architecture,
    MicroInterpreter,
    QuantizationConfig,
    convert,
    get_board,
    normalise,
    plan_memory,
    quantization_report,
    quantize,
)
from mcuformer_tflm.emulator.qemu import run_firmware
from mcuformer_tflm.firmware.build import build_project
from mcuformer_tflm.firmware.project import export_firmware
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.layers.class_token import ClassToken, ClassTokenPool
from mcuformer_tflm.keras_models.layers.fully_connected import FullyConnected
from mcuformer_tflm.keras_models.layers.layer_norm import LayerNorm
from mcuformer_tflm.keras_models.layers.patch_embed import PatchEmbed
from mcuformer_tflm.keras_models.network_graph import read_network
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
from mcuformer_tflm.plan.liveness import find_buffers
from mcuformer_tflm.plan.skeleton import skeleton_graph
from mcuformer_tflm.referee.referee import Referee
from mcuformer_tflm.runtime.model_twin import run_twin
from mcuformer_tflm.search.cost.activation_memory import arena_bytes, head_bytes
from mcuformer_tflm.search.cost.memory import weight_bytes
from mcuformer_tflm.search.cost.model_file import model_bytes
from mcuformer_tflm.search.cost.schedule import choose_kept, kept_arena_bytes
from mcuformer_tflm.tflite.model_graph import read_graph

# No size is a multiple of what the kernels pad to; three rows of four patches.
PLAIN = Architecture(
    image_size=(11, 14), channels=3, num_classes=4, patch_size=4, rank_ratio=0.6, head_dim=5,
    embed_dim=13, num_heads=(3,), mlp_ratio=(1.4,),
)  # fmt: skip
NARROW = QuantizationConfig(weight_bits=4, residual_bits=16)
ALL = {"pooling": "class_token", "relative_position": True, "low_rank_attention": True}
# The options, and the widths; None trains with 8 bits.
OPTIONS = {
    "class token": ({"pooling": "class_token"}, QuantizationConfig()),
    "relative positions": ({"relative_position": True}, QuantizationConfig()),
    "convolutional stem": ({"stem": "conv"}, QuantizationConfig()),
    "low-rank attention": ({"low_rank_attention": True}, QuantizationConfig()),
    "all": (ALL, None),
    "all, narrow, convolutional stem": ({**ALL, "stem": "conv"}, NARROW),
}
LABELS = tuple("abcd")


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A quantized network with some options, and images for it."""

    architecture: Architecture
    config: QuantizationConfig
    network: object
    images: np.ndarray

    @cache  # noqa: B019, few and small
    def convert(self, schedule="streamed", image="whole"):
        return convert(self.network, LABELS, schedule=schedule, image=image)


@cache
def case(name):
    """Returns a network of random weights, calibrated, or trained while quantized."""
    changed, config = OPTIONS[name]
    architecture = dataclasses.replace(PLAIN, **changed)
    tf_keras.utils.set_random_seed(0)
    subnet, rng = build_subnet(architecture), np.random.default_rng(0)
    for weight in subnet.trainable_weights:
        weight.assign_add(0.3 * rng.standard_normal(weight.shape))
    images = rng.integers(0, 256, (16, *architecture.image_shape), dtype=np.uint8)
    classes = rng.integers(0, 4, 16, dtype=np.int32)
    with op_by_op():
        network = quantize(
            subnet, images, classes, epochs=int(config is None), batch_size=8, config=config
        )
    config = config or QuantizationConfig()
    return Case(architecture, config, network, images)


@pytest.fixture(params=OPTIONS)
def given(request):
    return case(request.param)


pytestmark = pytest.mark.filterwarnings("ignore::mcuformer_tflm.QuantizationWarning")


def test_layers_twin_and_tflm_give_the_same_bytes_whatever_the_schedule(given):
    pictures = (given.images.astype(int) - 128).astype(np.int8)
    graph = read_graph(given.convert())
    wanted = np.concatenate([run_twin(graph, picture[None]) for picture in pictures])
    assert len(np.unique(wanted)) > 10, "an answer that depends on the picture"
    logits = graph.tensors[graph.outputs[0]]
    with op_by_op():
        real = given.network(normalise(given.images)).numpy()
    np.testing.assert_array_equal(np.rint(real / logits.scale + logits.zero_point), wanted)
    for schedule, image in (("streamed", "strips"), ("kept", "whole"), ("paper", "whole")):
        found = MicroInterpreter(given.convert(schedule, image)).run(pictures)
        np.testing.assert_array_equal(found, wanted, err_msg=schedule)
    output = graph.tensors[graph.outputs[0]]
    logits = given.network(pictures / np.float32(128), training=False).numpy()
    steps = np.rint(logits / output.scale).astype(int) + output.zero_point
    np.testing.assert_array_equal(steps, wanted)


@pytest.mark.parametrize("image", ["whole", "strips"])
def test_all_sizes_are_known_from_the_architecture_alone(given, image):
    arch, chosen = given.architecture, {"quantization": given.config}
    model = given.convert(image=image)
    graph, plan = read_graph(model), plan_memory(model)
    assert plan.head_bytes == plan.lower_bound == head_bytes(arch, image, **chosen)
    assert cortex_m_arena_bytes(graph, plan) == arena_bytes(arch, image, **chosen)
    assert len(model) == model_bytes(arch, LABELS, **chosen)
    assert sum(len(tensor.data) for tensor in graph.tensors) == weight_bytes(arch, given.config)
    skeleton = find_buffers(skeleton_graph(arch, image, **chosen))
    assert [(b.name, b.size, b.walk) for b in skeleton] == [
        (b.name, b.size, b.walk) for b in find_buffers(graph)
    ]


def test_arena_of_kept_tokens_is_known_and_budgeted(given):
    arch, chosen = given.architecture, {"quantization": given.config}
    budget = kept_arena_bytes(arch, [0], **chosen)
    assert choose_kept(arch, budget, **chosen) == (0,)
    assert budget == arena_bytes(arch, **chosen) or not choose_kept(arch, budget - 16, **chosen)
    model = given.convert("kept")
    assert cortex_m_arena_bytes(read_graph(model), plan_memory(model)) == budget


def test_every_layer_is_in_the_report_and_none_is_broken(given):
    rows = quantization_report(given.network, given.images).layers
    assert {row.layer for row in rows} == {layer.name for layer in given.network.operators()}
    assert all(row.sqnr > 10 for row in rows)


def test_tflites_converter_does_not_contradict_the_model():
    given, rng = case("all"), np.random.default_rng(3)
    images = rng.integers(0, 256, (40, *given.architecture.image_shape), dtype=np.uint8)
    verdict = Referee(given.network, images).judge(given.convert(), images, np.zeros(40, int))
    assert verdict.faults() == []
    assert verdict.int8_tflite.sqnr_db > 10


def test_a_bias_that_is_turned_about_would_show():
    network, pictures = case("relative positions").network, case("relative positions").images
    found = []
    for _ in range(2):
        model = MicroInterpreter(convert(network, LABELS))
        found.append(model.run((pictures.astype(int) - 128).astype(np.int8)))
        for layer in network.operators():
            if hasattr(layer, "relative_bias"):
                layer.relative_bias.assign(layer.relative_bias[:, ::-1])
    assert np.any(found[0] != found[1])


def test_weights_of_a_convolutional_stem_are_those_of_all_its_convolutions():
    given = case("convolutional stem")
    stem = given.network.get_layer("conv_stem")
    signal = noise = 0.0
    for kernel in (stem.kernel_1, stem.kernel_2, stem.kernel):
        kernel = kernel.numpy().astype(np.float64).reshape(-1, kernel.shape[-1])
        scales = np.abs(kernel).max(0) / 127
        signal += np.sum(kernel**2)
        noise += np.sum((kernel - scales * np.rint(kernel / scales)) ** 2)
    rows = {row.layer: row for row in quantization_report(given.network, given.images).layers}
    wanted = 10 * np.log10(signal / noise)
    assert rows["conv_stem"].weight_sqnr == pytest.approx(wanted, abs=0.01)


def test_class_token_elsewhere_than_behind_a_stem_alone_is_refused_by_name():
    image = tf_keras.Input((8, 8, 1))
    patches = PatchEmbed(6, 4, name="patches")(image)
    late = FullyConnected(6, name="late")(patches)
    shared = ClassToken(name="token")(patches)
    norm = LayerNorm(name="norm")(shared)
    for output, named in (
        (ClassToken(name="token")(late), "token reads late; ClassToken reads a stem"),
        ([shared, FullyConnected(6)(patches)], "token reads patches; .* nothing else reads"),
        (ClassTokenPool(name="pool")(shared), "pool reads token; ClassTokenPool reads a LayerNorm"),
        ([ClassTokenPool(name="pool")(norm), norm], "pool reads norm; .* nothing else reads"),
    ):
        with pytest.raises(ConfigError, match=named):
            read_network(tf_keras.Model(image, output))


@pytest.mark.parametrize(
    ("name", "board"), [("all", "stm32f746"), ("all, narrow, convolutional stem", "stm32f427")]
)
def test_firmware_on_the_emulated_core_gives_tflms_bytes(name, board, tmp_path):
    given = case(name)
    pictures = (given.images[:4].astype(int) - 128).astype(np.int8)
    model = given.convert()
    export_firmware(model, board, tmp_path / "project")
    built = build_project(tmp_path / "project", tmp_path / "build", MCUFORMER_EMULATED=True)
    run = run_firmware(built.elf, get_board(board).core, pictures, len(LABELS))
    assert run.status == 0, run.log
    np.testing.assert_array_equal(run.outputs, MicroInterpreter(model).run(pictures))
