"""The page of a run: whole, of what there is, and safe whatever its labels are."""

import dataclasses
import html.parser
import json

import pytest
from run_record import REPORT, VISITS, full_record, run_folder
from typer.testing import CliRunner

from mcuformer_tflm.cli import app
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.plan.planner import read_plan
from mcuformer_tflm.task.page.page import page, write_page
from mcuformer_tflm.task.page.record import RunRecord
from mcuformer_tflm.task.report import Report
from mcuformer_tflm.tflite.model_graph import read_graph

FIGURES = [
    "evolution", "front-arena", "front-flash", "front-time", "curve-0", "memory", "instructions",
    "sqnr", "confusion",
]  # fmt: skip
HOSTILE = (
    '<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}</svg></style>",
)  # fmt: skip


class Read(html.parser.HTMLParser):
    """Tags, attributes and texts of a page, as a browser divides it."""

    def __init__(self, text):
        super().__init__()
        self.source = text
        self.tags, self.attributes, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]

    def handle_data(self, data):
        self.texts.append(data)

    def values(self, name):
        return [value for _, attribute, value in self.attributes if attribute == name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def whole(folder):
    return Read(write_page(folder).read_text())


def test_every_part_of_a_run_is_on_its_page(whole):
    ids = whole.values("id")
    assert [name for name in ids if name in FIGURES] == FIGURES
    assert whole.tags.count("svg") == len(FIGURES)
    assert whole.tags.count("img") == 20
    text = " ".join(" ".join(whole.texts).split())
    for told in ("85.00 %", "14,400 B", "of 262,144 B", "73.4 ms", "of 50.0 ms", "seed 7",
                 "mcuformer search run.toml", "tensorflow", "More minutes would allow: embed_dim",
                 "Commonest mistakes", "Eq. 5"):  # fmt: skip
        assert told in text
    assert len(ids) == len(set(ids)), "two figures share no id"
    for value in (*whole.values("xlink:href"), *whole.values("clip-path")):
        assert value.removeprefix("url(").rstrip(")")[1:] in ids


def test_a_page_needs_nothing_beside_it_and_runs_nothing(whole):
    assert not {"script", "iframe", "object", "embed", "form"} & set(whole.tags)
    links = whole.values("src") + whole.values("href") + whole.values("xlink:href")
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    styles = " ".join(whole.texts)
    assert "@import" not in styles
    assert "url(http" not in styles


def test_what_a_run_has_not_is_left_out_of_its_page(tmp_path):
    REPORT.write(tmp_path / "report.json")
    bare = Read(write_page(tmp_path).read_text())
    assert not {"svg", "img"} & set(bare.tags)
    assert "again" in bare.values("id")
    headings = [text for text in bare.texts if text in ("Search", "Training", "Model", "Mistakes")]
    assert not headings
    no_search = dataclasses.replace(full_record(), path=None, scores=None, operators=(), layers=())
    part = Read(page(REPORT, no_search))
    shown = [name for name in part.values("id") if name in FIGURES]
    assert shown == ["curve-0", "confusion"]


def test_networks_that_were_compared_are_told_as_such_and_not_as_an_evolution(tmp_path):
    record = full_record()
    compared = dataclasses.replace(record, path=dataclasses.replace(record.path, steps=False))
    compared.write(tmp_path / "record.json")
    read = RunRecord.read(tmp_path / "record.json")
    assert read.path == compared.path
    shown = Read(page(REPORT, read))
    assert "networks" in shown.values("id")
    assert "evolution" not in shown.values("id")
    assert "Networks that were compared" in shown.texts
    told = json.loads((tmp_path / "record.json").read_text())
    del told["path"]["steps"]
    (tmp_path / "record.json").write_text(json.dumps(told))
    assert RunRecord.read(tmp_path / "record.json") == record, "as it was written before"
    told["path"]["steps"] = 3
    (tmp_path / "record.json").write_text(json.dumps(told))
    with pytest.raises(ConfigError, match="steps is neither true nor false"):
        RunRecord.read(tmp_path / "record.json")


def test_names_of_others_are_shown_and_command_nothing(folder, whole):
    plan = read_plan(read_graph(folder / "model.tflite"))
    record = full_record(HOSTILE, command=HOSTILE[1] + "\u202e")
    report = dataclasses.replace(REPORT, data=HOSTILE[1], architecture=HOSTILE[0])
    text = page(report, record, plan)
    read = Read(text)
    assert read.tags == whole.tags, "no tag comes of a name"
    assert not [name for _, name, _ in read.attributes if name.startswith("on")]
    assert "\u202e" not in text
    shown = " ".join(read.texts)
    assert all(name in shown for name in HOSTILE)
    assert "49" not in [part.strip() for part in read.texts]


def test_many_classes_have_their_commonest_mistakes_and_no_matrix():
    counts = [[0] * 60 for _ in range(60)]
    counts[3][5], counts[4][4] = 7, 9
    labels = tuple(f"class {index}" for index in range(60))
    record = dataclasses.replace(RunRecord(labels), confusion=tuple(map(tuple, counts)))
    read = Read(page(REPORT, record))
    assert "confusion" not in read.values("id")
    assert {"7", "class 3", "class 5"} <= set(read.texts)


def test_a_record_and_a_report_are_read_as_they_were_written(folder):
    assert RunRecord.read(folder / "record.json") == full_record()
    assert Report.read(folder / "report.json") == REPORT


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("record.json", {"format": 9}, "another version"),
        ("record.json", {"confusion": [[1]]}, "not of its classes"),
        ("record.json", {"pictures": [{"png": "?", "wanted": 0, "said": 0, "share": 1}]}, "record"),
        ("record.json", {"pictures": [{"png": "", "wanted": 9, "said": 0, "share": 1}]}, "class"),
        ("record.json", {"curves": 5}, "no record of a run"),
        ("record.json", {"more": 5}, "more is no field"),
        ("report.json", {"board": 5}, "board is 5"),
        ("report.json", {"seconds": "<b>"}, "seconds is '<b>'"),
        ("report.json", {"unknown": 5}, "no report of a run"),
    ],
)
def test_a_damaged_file_is_refused_by_its_name(tmp_path, name, change, told):
    folder = run_folder(tmp_path)
    fields = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**fields, **change}))
    with pytest.raises(ConfigError, match=told) as refusal:
        write_page(folder)
    assert str(folder / name) in str(refusal.value)


@pytest.mark.parametrize("point", [[9, 0, 0], [0, -1, 0], [0, 0]])
def test_a_path_over_pairs_that_its_space_has_not_is_refused(tmp_path, point):
    folder = run_folder(tmp_path)
    fields = json.loads((folder / "record.json").read_text())
    fields["path"]["visits"][0][0] = point
    (folder / "record.json").write_text(json.dumps(fields))
    with pytest.raises(ConfigError, match="is no pair of its space"):
        RunRecord.read(folder / "record.json")
    assert len(VISITS) == len(full_record().path.visits)


def test_the_command_writes_the_page_anew(folder, whole):
    (folder / "report.html").unlink()
    result = CliRunner().invoke(app, ["report", str(folder)])
    assert (result.exit_code, result.stdout) == (0, f"Written to {folder / 'report.html'}\n")
    assert (folder / "report.html").read_text() == whole.source


def test_a_folder_without_a_report_is_told_what_leaves_one(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no report.json; give a folder in which"):
        write_page(tmp_path)
