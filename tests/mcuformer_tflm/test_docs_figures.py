"""Figures in the documents are those that the commands print: accuracies and bytes that are
known without training. Counted instructions and code are held where they are counted
(test_bench_kernels.py, test_firmware.py)."""

import re

import documented
import pytest

from mcuformer_tflm.baselines.catalogue import shipped_baselines
from mcuformer_tflm.bench import figure3
from mcuformer_tflm.bench.memory import paper_architectures
from mcuformer_tflm.bench.models import paper_architecture
from mcuformer_tflm.bench.quantization import NETWORK, OPTIONS
from mcuformer_tflm.keras_models.quantization_config import QuantizationConfig
from mcuformer_tflm.search.activation_memory import arena_bytes
from mcuformer_tflm.search.board import get_board
from mcuformer_tflm.search.memory import flash_bytes
from mcuformer_tflm.zoo.catalogue import model_card, model_names


def _share(value):
    return f"{value:.2%}".replace("%", " %")


def test_readme_tells_the_zoo_as_its_cards_do():
    told = documented.table("README.md", "float", "int8 in TFLM")
    header = next(iter(told.values()))
    counts = {model_card(name).test_images for name in model_names()}
    assert next(iter(header)) == f"Fashion-MNIST, {counts.pop():,} test images"
    assert not counts
    assert {name: list(row.values())[1:] for name, row in told.items()} == {
        f"`{name}`": [
            _share(card.float_top1),
            _share(card.int8_top1),
            f"{card.arena_bytes:,} bytes",
            f"{card.flash_bytes:,} bytes",
        ]
        for name, card in ((name, model_card(name)) for name in model_names())
    }


def test_accuracy_tells_models_and_baselines_as_their_cards_do():
    told = documented.table("docs/accuracy.md", "float", "multiply-accumulates")
    cards = {f"`{name}` (zoo)": model_card(name) for name in model_names()}
    cards |= {f"`{name}`": card for name, card in shipped_baselines().items()}
    assert {name: list(row.values())[1:] for name, row in told.items()} == {
        name: [
            _share(card.float_top1),
            _share(card.int8_top1),
            f"{card.arena_bytes:,}",
            f"{card.flash_bytes:,}",
            f"{card.macs:,}",
        ]
        for name, card in cards.items()
    }


def test_quantization_tells_what_the_options_cost_the_papers_network():
    wide, narrow = QuantizationConfig(residual_bits=16), QuantizationConfig(weight_bits=4)
    network = paper_architecture()
    arenas = [
        arena_bytes(network, image, quantization=option)
        for image in ("whole", "strips")
        for option in (wide, QuantizationConfig())
    ]
    files = [flash_bytes(network, quantization=option) for option in (narrow, QuantizationConfig())]
    told = re.search(
        r"F746: (\S+) instead of (\S+) bytes of arena .*?\((\S+) instead of (\S+) where the image "
        r"comes in strips.*? and (\S+) instead of (\S+) MB of file",
        documented.text("docs/quantization.md"),
    )
    assert told is not None
    assert list(told.groups()) == [
        *(f"{arena:,}" for arena in arenas),
        *(f"{size / 1e6:.2f}" for size in files),
    ]


def test_quantization_tells_the_small_networks_bytes():
    told = documented.table("docs/quantization.md", "calibrated only", "arena", "file")
    assert [row["arena"] for row in told.values()] == [
        f"{arena_bytes(NETWORK, quantization=option):,}" for option in OPTIONS.values()
    ]


@pytest.mark.parametrize(("column", "board"), [("F427", 0), ("F746", 1), ("H743", 2)])
def test_memory_tells_figure_3_as_it_is_accounted(column, board):
    network = paper_architectures()[list(figure3.BOARDS.values())[board]]
    told = documented.table("docs/memory.md", "technique", "F746 accounted")
    assert {name: row[f"{column} accounted"] for name, row in told.items()} == {
        technique.name: f"{technique.paper(network):,}" for technique in figure3.techniques()
    }


@pytest.mark.parametrize(
    ("row", "name"),
    [("STM32F427", "stm32f427"), ("STM32F746", "stm32f746"), ("STM32H743", "stm32h743")],
)
def test_firmware_tells_the_boards_memories(row, name):
    told = documented.table("docs/firmware.md", "arena", "program, constants")[row]
    board = get_board(name)
    assert f"{board.sram_regions[0].size // 1024} KB" in told["arena"]
    assert f"{board.flash // 1024**2} MB" in told["program, constants"]
    for region in board.sram_regions[1:]:
        assert f"{region.size // 1024} KB" in told["stack, variables"]
    assert (told["more constants"] == "") == (board.external_flash == 0)


def test_firmware_tells_the_external_flash_of_the_board_that_has_it():
    told = documented.table("docs/firmware.md", "arena", "more constants")["`stm32f746-discovery`"]
    external = get_board("stm32f746-discovery").external_flash
    assert f"QSPI, {external // 1024**2} MB" in told["more constants"]
