"""Whatever a name is, what becomes of it ends and starts nothing where it stands."""

import itertools
import re
import subprocess
import tomllib
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from mcuformer_tflm.keras_models.drawing import save_picture
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.foreign_text import allowed
from mcuformer_tflm.task.terminal import print_error, results

HOSTILE = (
    "a\nb", "a\r\n#error b", "a\u2028b", "*/ #error b /*", 'a"; system("b"); "', "a\\", "a??/",
    "$(touch b)", "`touch b`", "a;touch b", "${HOME}", "$ENV{HOME}", "@BOARD@", "a]]", "]=]",
    "<script>b</script>", "<!-- b", "--> b", "&lt;", "[b](javascript:c)", "| b |", "# b", "$b_{",
    "\U0001f600", "é中", "a\0b", "\x1b]0;b\x07", "\x1b[2J", "\u202eb", "\ud800", "", " ", "1a", "_",
    "'''\nb = 1", "x" * 1_000_000,
)  # fmt: skip
TEXTS = st.text() | st.sampled_from(HOSTILE)


def _with_examples(test):
    for text in HOSTILE:
        test = example(text)(test)
    return given(TEXTS)(test)


@_with_examples
def test_a_comment_ends_nowhere_but_at_its_end(text):
    found = allowed(text, "comment")
    assert len(found) <= 200
    assert found.isascii()
    assert found.splitlines() in ([], [found])
    assert not set(found) & set("*\\\"'$;[](){}<>@#`?&|!\0")


@_with_examples
def test_an_identifier_is_one(text):
    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,200}", allowed(text, "identifier"))


@_with_examples
def test_a_page_stays_one_line_of_text(text):
    found = allowed(text, "page")
    assert len(found) <= 200
    assert found.splitlines() in ([], [found])
    assert not set(found) & set('<>&|`\\*${}"\x1b')
    assert not re.search(r"\][(:\[]", found), "links"
    assert allowed("depth: [2.0, 2.0], 50 %", "page") == "depth: [2.0, 2.0], 50 %"


@_with_examples
def test_what_is_printed_commands_no_terminal_and_keeps_its_lines(text):
    found = allowed(text, "terminal")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", found)
    assert len(found) == len(text)
    assert found.count("\n") == text.count("\n")
    assert allowed("plain ünïcode 中 [x] $y", "terminal") == "plain ünïcode 中 [x] $y"


def test_names_are_printed_and_command_nothing(capsys):
    results().print("\x1b]0;title\x07 name")
    print_error("the label \x1b[2J is wrong")
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "name" in out
    assert "the label" in err


@pytest.mark.parametrize("ending", [".svg", ".png"])
def test_names_in_pictures_are_no_formulas_and_no_markup(tmp_path, ending):
    names = [name for name in HOSTILE if name.isprintable()] + ["a\0b", "\x1b[2J"]
    figure = Figure(figsize=(4, 4))
    axes = figure.subplots()
    for place, name in enumerate(names):
        axes.text(0, place / len(names), name)
    axes.set_yticks([0], ["$x^{$"])
    axes.set(title=names[0] + "$x^{$")
    path = tmp_path / f"picture{ending}"
    with pytest.warns(UserWarning, match="missing from"):
        save_picture(figure, path)
    assert path.stat().st_size > 1000
    if ending == ".svg":
        tags = {element.tag.rpartition("}")[2] for element in ElementTree.parse(path).iter()}
        assert "script" not in tags
    with pytest.raises(ConfigError, match=r"\.png"):
        save_picture(figure, tmp_path / "picture.exe")


def test_comments_are_read_as_comments_by_every_reader(tmp_path):
    names = [allowed(text, "comment") for text in HOSTILE]
    text = "".join(f"planted = 0 # {name}\n" for name in names[:1]) + "".join(
        f"# {name}\n" for name in names
    )
    assert tomllib.loads(text) == {"planted": 0}
    source = tmp_path / "source.cc"
    lines = itertools.chain(*((f"// {name}", f"/* {name} */") for name in names))
    source.write_text("int planted = 0;\n" + "\n".join(lines) + "\n")
    subprocess.run(["g++", "-fsyntax-only", "-Wall", "-Werror", "-trigraphs", source], check=True)
    stripped = subprocess.run(
        ["g++", "-E", "-P", source], check=True, capture_output=True, text=True
    ).stdout
    assert stripped.strip() == "int planted = 0;"
