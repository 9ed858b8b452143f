"""Figures in the documents are those that the commands print: accuracies and bytes that are
known without training. Counted instructions and code are held where they are counted
(test_bench_kernels.py, test_firmware.py)."""

import dataclasses
import itertools
import json
import re
import statistics

import documented
import pytest

from mcuformer_tflm.bench import figure3
from mcuformer_tflm.bench.memory import paper_architectures
from mcuformer_tflm.bench.models import paper_architecture
from mcuformer_tflm.bench.pretrained import networks, size_rows
from mcuformer_tflm.bench.quantization import NETWORK, OPTIONS
from mcuformer_tflm.bench.strategies import DEFAULT
from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
from mcuformer_tflm.search.board import get_board
from mcuformer_tflm.search.cost.activation_memory import arena_bytes
from mcuformer_tflm.search.cost.memory import flash_bytes, num_macs, num_parameters
from mcuformer_tflm.search.cost.summary import summary
from mcuformer_tflm.task.report import Report
from mcuformer_tflm.zoo.catalogue import BASELINES, model_card, model_cards, model_names


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
    cards |= {f"`{name}`": card for name, card in model_cards(BASELINES).items()}
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


def test_accuracy_tells_how_far_the_models_lie_apart():
    top1 = {name: model_card(name).int8_top1 for name in model_names()}
    top1 |= {name: card.int8_top1 for name, card in model_cards(BASELINES).items()}
    told = documented.text("docs/accuracy.md")
    small = top1["fashion_mnist_16k"] - top1["depthwise_cnn_16k"]
    assert f"the transformer is {100 * small:.1f} points better than the CNN" in told
    for better in ("fashion_mnist_64k", "depthwise_cnn_64k"):
        apart = top1[better] - top1["fixed_vit_64k"]
        assert f"conventional shape is {100 * apart:.1f} points below both" in told


# Rows of docs/search.md, and the ablations whose seeds they are of.
ABLATIONS = {
    "evolved, 64 KiB": "evolved",
    "one random pair, 64 KiB": "random",
    "maximal (patch 4, rank 0.95), 64 KiB": "maximal",
    "composed: all pairs in one supernet, 64 KiB": "composed",
    "evolved, tight": "evolved_tight",
    "one random pair, tight": "random_tight",
    "composed, tight": "composed_tight",
    'evolved as printed (`update="paper"`)': "as_printed",
    "no space evolution, no budget (MCUFormer-A's search, maximal pair)": "autoformer",
    "random pair and random subnets, as much training as an evolved search": "random_search",
    "the same, tight": "random_search_tight",
}


def test_search_tells_the_ablations_as_their_file_does():
    rows = json.loads((documented.ROOT / "docs/search-ablations.json").read_text())
    values = {(row["case"], row["metric"]): row["value"] for row in rows}

    def seeds(name, metric):
        return [values[f"ablation/{name}/seed{seed}", metric] for seed in range(3)]

    told = documented.table("docs/search.md", "space", "top-1", "deviation")
    assert {name: list(row.values())[1:] for name, row in told.items()} == {
        row: [
            f"{100 * statistics.mean(seeds(name, 'top1')):.1f}",
            f"{100 * statistics.stdev(seeds(name, 'top1')):.1f}",
            f"{statistics.mean(seeds(name, 'arena_bytes')):,.0f}",
        ]
        for row, name in ABLATIONS.items()
    }


def test_search_tells_the_proof_as_its_file_does():
    rows = json.loads((documented.ROOT / "docs/search-proof.json").read_text())
    values = {(row["case"], row["metric"]): row["value"] for row in rows}

    def told_as(case, metric, half):
        if (case, metric) not in values:
            return ""
        share = f" ± {100 * values[case, half]:.1f}" if (case, half) in values else ""
        return f"{100 * values[case, metric]:.1f}{share}"

    def cells(strategy, kib):
        case = f"proof/{strategy}/{kib}"
        yield str(values[case, "seeds"])
        yield told_as(case, "top1_mean", "top1_ci95")
        yield told_as(case, "advantage_over_random", "advantage_ci95")

    lines = (documented.ROOT / "docs/search.md").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| strategy | 16 KiB: seeds"))
    for line in itertools.takewhile(lambda line: line.startswith("|"), lines[start + 2 :]):
        name, *told = (cell.strip() for cell in line.strip("|").split("|"))
        strategy = name.split(",")[0]
        assert told == [*cells(strategy, 16), *cells(strategy, 48)], strategy
        assert ("the default" in name) == (strategy == DEFAULT)
    done = values["proof", "searches_done"]
    todo = done + values["proof", "searches_lacking"]
    assert f"{done} of {todo} searches" in documented.text("docs/search.md")


def test_each_arena_and_stack_has_one_name_in_cards_reports_and_documents():
    known = documented.table("docs/memory.md", "figure", "what it is")
    names = {"arena in TFLM, Cortex-M", "arena of the firmware", "stack of one inference"}
    assert names <= set(known)
    card = model_card(model_names()[0]).markdown()
    assert all(f"| {name} " in card for name in names)
    report = Report("board", "{}", 1, *range(12), 0)
    cells = [str(cell) for cell in report.table().columns[0].cells]
    assert "arena in TFLM, Cortex-M (computed)" in cells
    assert "arena in TFLM, this machine (measured)" in cells
    assert "arena in TFLM, Cortex-M " in str(summary(NETWORK).caption)


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


def test_training_tells_what_a_stem_costs_the_papers_network():
    told = documented.table("docs/training.md", "stem", "arena, in strips")
    for stem in ("patch", "conv"):
        network = dataclasses.replace(paper_architecture(), stem=stem)
        assert list(told[f'`"{stem}"`'].values())[1:] == [
            f"{figure:,}"
            for figure in (
                num_parameters(network),
                num_macs(network),
                flash_bytes(network),
                arena_bytes(network),
                arena_bytes(network, "strips"),
            )
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


def test_pretrained_tells_what_deit_tiny_takes_whole_and_factored():
    told = documented.table("docs/pretrained.md", "parameters", "flash (.tflite)")
    assert [list(row.values())[1:] for row in told.values()] == [
        [f"{row.value:,}" for row in size_rows(name, network)]
        for name, network in networks().items()
    ]
