"""Python code of documents and examples."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
)
EXAMPLES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "examples").rglob("*.py"))


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


def prose(document):
    """A document without its code blocks."""
    return re.sub(r"^```.*?^```", "", read(document), flags=re.DOTALL | re.MULTILINE)
