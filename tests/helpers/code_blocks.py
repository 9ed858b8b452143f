"""Python code of documents, examples and notebooks."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
)
EXAMPLES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "examples").rglob("*.py"))


NOTEBOOKS = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("examples/notebooks/*.ipynb"))


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def python_blocks(document):
    """Python code blocks of a document, each behind as many empty lines as stand before it."""
    text = read(document)
    return [
        "\n" * (text.count("\n", 0, block.start()) + 1) + block[1]
        for block in re.finditer(
            r"^```py(?:thon)?\b[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE
        )
    ]


def code_cells(notebook):
    """Cells of Python of a notebook: neither text nor cells of another language."""
    cells = json.loads(read(notebook))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return [source for source in sources if not source.startswith("%%")]


def prose(document):
    """A document without its code blocks."""
    return re.sub(r"^```.*?^```", "", read(document), flags=re.DOTALL | re.MULTILINE)
