"""Readers of files that may be anybody's, each as a function of bytes: the fuzz targets.

What such a function raises is a finding: errors of ours are caught here, where the reader promises
them. ``scripts/fuzz_reader.py`` drives them by coverage, ``tests/fuzz`` replays what it found.
"""

import contextlib
import functools
import operator
import os
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np

from mcuformer_tflm.keras_models.exceptions import (
    CheckpointError,
    ConfigError,
    DataError,
    ModelError,
    PlanError,
)

CORPUS = Path(__file__).parents[1] / "fuzz/corpus"
_HEADER = struct.Struct("<IHHHH")


@functools.cache
def _folder():
    # In memory where that is possible: a file is written thousands of times a second.
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)


def _file(content, name):
    path = Path(_folder().name) / name
    path.write_bytes(content)
    return path


@functools.cache
def _sound_model():
    from mcuformer_tflm.tflite.file import read_files, unpack

    content = (CORPUS / "model/sound.tflite").read_bytes()
    return unpack(content), read_files(content), content


def _with_metadata(**values):
    from mcuformer_tflm.tflite.file import add_metadata, pack

    model, _, _ = _sound_model()
    for name, value in values.items():
        add_metadata(model, name, value)
    return pack(model)


def _plan_of_tflm(record):
    """TFLM's plan, with the offsets of a record of ours as far as it has them."""
    from mcuformer_tflm.plan.memory_plan import METADATA_NAME
    from mcuformer_tflm.tflite.model_graph import read_graph

    offsets = np.frombuffer(read_graph(_sound_model()[2]).metadata[METADATA_NAME], "<i4").copy()
    planned = [place for place in range(3, len(offsets)) if offsets[place] >= 0]
    body = record[_HEADER.size + 4 :]
    for place, start in zip(planned, range(0, len(body) - 15, 16), strict=False):
        _, offset, _, _, _, region, _ = struct.unpack_from("<iiHHHBB", body, start)
        offsets[place] = offset if region == 0 else -1
    return {METADATA_NAME: offsets.tobytes()}


def read_model(content):
    """Everything that is done with a graph before TFLM gets it."""
    from mcuformer_tflm.firmware.source import write_source
    from mcuformer_tflm.plan.planner import read_plan
    from mcuformer_tflm.plan.schedule import describe_schedule
    from mcuformer_tflm.runtime.micro_interpreter import read_our_graph
    from mcuformer_tflm.tflite.image_input import image_shape

    with contextlib.suppress(ModelError, PlanError):
        graph = read_our_graph(content)
        describe_schedule(graph)
        image_shape(graph)
        write_source(content, graph, read_plan(graph), set())


def read_plan(content):
    """A plan's record whose checksum is right, and TFLM's plan that says the same."""
    from mcuformer_tflm.plan.memory_plan import RECORD_NAME, read_places
    from mcuformer_tflm.plan.planner import read_plan
    from mcuformer_tflm.tflite.model_graph import read_graph

    head, body = content[: _HEADER.size], content[_HEADER.size + 4 :]
    sealed = head + struct.pack("<I", zlib.crc32(head + body)) + body
    for record in (content, sealed):
        with contextlib.suppress(ModelError):
            read_places(record)
    with contextlib.suppress(ModelError, PlanError):
        told = {RECORD_NAME: sealed, **_plan_of_tflm(sealed)}
        read_plan(read_graph(_with_metadata(**told)))


def read_metadata(content):
    """An architecture's text, a text of labels, and the zip archive behind a model."""
    from mcuformer_tflm.convert.metadata import ARCHITECTURE_NAME, find_architecture, read_labels
    from mcuformer_tflm.keras_models.architecture import Architecture
    from mcuformer_tflm.tflite.model_graph import read_graph

    with contextlib.suppress(ConfigError):
        Architecture.from_json(content.decode(errors="replace"))
    with contextlib.suppress(ModelError):
        find_architecture(read_graph(_with_metadata(**{ARCHITECTURE_NAME: content})))
    with contextlib.suppress(ModelError):
        read_labels(_sound_model()[2][:2000] + content, 10)


def read_recipe(content):
    """Recipes of the zoo's models, supernets, and baselines, those that are like ``like.toml``."""
    from mcuformer_tflm.zoo.recipe import ZooRecipe
    from mcuformer_tflm.zoo.supernet_recipe import SupernetRecipe

    _file((CORPUS / "recipe/fashion_mnist_16k.toml").read_bytes(), "like.toml")
    path = _file(content, "recipe.toml")
    for kind in (ZooRecipe, SupernetRecipe):
        with contextlib.suppress(ConfigError):
            kind.read(path)


def read_board(content):
    """A board's file."""
    from mcuformer_tflm.search.board import read_board

    with contextlib.suppress(ConfigError):
        read_board(_file(content, "board.toml"))


def read_run(content):
    """Files of a search and of one network's training."""
    from mcuformer_tflm.task.network_run import NetworkRun
    from mcuformer_tflm.task.run_file import SearchRun

    path = _file(content, "run.toml")
    with contextlib.suppress(ConfigError):
        NetworkRun.read(path).to_dict()
    with contextlib.suppress(ConfigError):
        run = SearchRun.read(path)
        run.to_dict()
        run.quantization  # noqa: B018


def read_card(content):
    """Cards of models, baselines and supernets, a run's report and what its page is made of."""
    from mcuformer_tflm.task.page.record import RunRecord
    from mcuformer_tflm.task.report import Report
    from mcuformer_tflm.zoo.card import ModelCard
    from mcuformer_tflm.zoo.supernet_card import SupernetCard

    path = _file(content, "card.json")
    with contextlib.suppress(ModelError):
        ModelCard.read(path).to_dict()
    with contextlib.suppress(ModelError):
        SupernetCard.read(path).markdown()
    with contextlib.suppress(ConfigError):
        Report.read(path).table()
    with contextlib.suppress(ConfigError):
        RunRecord.read(path)


def read_npz(content):
    """A data set of arrays."""
    from mcuformer_tflm.data.image_data import from_npz

    with contextlib.suppress(DataError):
        from_npz(_file(content, "data.npz"))


def read_idx(content):
    """One of Fashion-MNIST's files, packed and as it is packed."""
    import gzip

    from mcuformer_tflm.data.fashion_mnist import read_idx

    for packed in (content, gzip.compress(content, 1)):
        for rank in (1, 3):
            with contextlib.suppress(DataError):
                read_idx(_file(packed, "x-ubyte.gz"), rank)


def read_wav(content):
    """A sound."""
    from mcuformer_tflm.data.sound import read_wav

    with contextlib.suppress(OSError, ValueError):
        samples = read_wav(_file(content, "x.wav"))
        assert samples.dtype == np.float32
        assert len(samples)


def read_checkpoint(content):
    """Weights that others wrote, and ours."""
    from mcuformer_tflm.keras_models.pretrained.tensor_file import read_tensors
    from mcuformer_tflm.keras_models.untrusted_files import read_npz

    path = _file(content, "checkpoint")
    with contextlib.suppress(CheckpointError):
        read_tensors(path)
    with contextlib.suppress(OSError, ValueError):
        read_npz(path)


def read_log(content):
    """A board's log of cycles, as it is and with the checks that its lines have."""
    from mcuformer_tflm.firmware.profile.log import read_profile_log

    lines = content.split(b"\n")
    sealed = [b"%s *%d" % (line, functools.reduce(operator.xor, line, 0)) for line in lines]
    for told in (lines, sealed):
        with contextlib.suppress(DataError):
            read_profile_log(_file(b"\n".join(told), "log"))


READERS = {
    "board": read_board,
    "card": read_card,
    "checkpoint": read_checkpoint,
    "idx": read_idx,
    "log": read_log,
    "metadata": read_metadata,
    "model": read_model,
    "npz": read_npz,
    "plan": read_plan,
    "recipe": read_recipe,
    "run": read_run,
    "wav": read_wav,
}
