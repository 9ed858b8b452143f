"""Pages that CI follows: each block of shell runs or says why not, and what fails is told."""

import json
import runpy

import pytest
from code_blocks import NOTEBOOKS, ROOT, read

RUNNER = runpy.run_path(str(ROOT / "scripts/run_pages.py"))
PAGE = """# A page

```sh
touch first
cat mine.toml
```

<!-- given: touch second -->
Text.

```toml
# mine.toml
x = "$HOME"
```

<!-- not run: a board -->
```sh
exit 3
```

```python
exit(4)
```

```sh
ls first second && grep HOME mine.toml
```
"""


@pytest.fixture
def follow(tmp_path, monkeypatch):
    """Follows a page of a text."""
    monkeypatch.setitem(RUNNER["follow"].__globals__, "ROOT", tmp_path)
    monkeypatch.setitem(RUNNER["follow"].__globals__, "OUT", tmp_path / "out")

    def follow(text):
        (tmp_path / "page.md").write_text(text)
        return RUNNER["follow"]("page.md")

    return follow


def test_a_page_is_followed_in_its_order_and_what_is_left_out_is_told(follow):
    well, told = follow(PAGE.replace("cat mine.toml", "true"))
    assert well
    assert told.splitlines()[0] == "- page.md:17 is left out: a board"
    assert [line.split(" (")[0] for line in told.splitlines()[1:-1]] == [
        "+ page.md:4", "+ page.md:5", "+ page.md:8", "+ page.md:11", "+ page.md:26", "+ page.md:26"
    ]  # fmt: skip


def test_what_fails_is_told_by_its_line_and_ends_the_page(follow):
    well, told = follow(PAGE)  # it asks for a file that is saved later
    assert not well
    assert "page.md:5: status 1" in told
    assert "page.md:26" not in told


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("not run: a board", "not run:", "page.md:17: say why"),
        ("given: touch second", "given: ", "page.md:8: say why"),
        ("a board -->\n", "a board -->\n\n", "page.md:16: no block begins"),
        ("```sh\nexit", "  ```sh\nexit", "page.md:17: begin the block"),
    ],
)
def test_a_comment_that_says_nothing_is_refused(old, new, told):
    assert old in PAGE
    with pytest.raises(RUNNER["PageError"], match=told):
        RUNNER["read_page"]("page.md", PAGE.replace(old, new))


def test_every_page_says_what_of_it_runs():
    pages = list(RUNNER["all_pages"]())
    assert pages[0] == "docs/quick-start.md"
    assert {"README.md", "docs/commands.md", "docs/own-board.md", *NOTEBOOKS} <= set(pages)


def test_notebooks_are_kept_without_what_they_put_out():
    assert len(NOTEBOOKS) == 4
    for notebook in NOTEBOOKS:
        for cell in json.loads(read(notebook))["cells"]:
            assert not cell.get("outputs"), notebook
            assert cell.get("execution_count") is None, notebook
