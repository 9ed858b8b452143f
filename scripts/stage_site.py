"""Puts the pages of the site into a folder: the documents as they lie, and the API's reference.

Links between documents hold as they are, since the folder has the repository's shape. A page of the
reference tells the names of one face, from where each is defined (``mkdocs.yml`` does the rest).
"""

from __future__ import annotations

import ast
import json
import shutil
import sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

ROOT = Path(__file__).parents[1]
PAGES = ("*.md", "docs/**/*.md", "examples/**/*.md")
PICTURES = ("docs/**/*.png", "docs/**/*.svg")
NOTEBOOKS = "examples/notebooks/*.ipynb"
FACES = ("", "search", "keras_models", "data", "plan", "zoo", "task")


def names_of(face: Path) -> dict[str, str]:
    """Returns where each name of a face is defined, as its ``__init__`` tells type checkers."""
    homes: dict[str, str] = {}
    for node in ast.walk(ast.parse(face.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.count(".") > 1:
            homes |= {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return dict(sorted(homes.items()))


def cells(notebook: Path) -> list[str]:
    """Returns the sources of a notebook's cells."""
    told = json.loads(notebook.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in told["cells"]]


def write_notebook(notebook: Path, folder: Path) -> None:
    """Writes a notebook as a page, with its pictures and itself beside it.

    With what it puts out, if ``make pages`` has executed it as it is now.
    """
    name = str(notebook.relative_to(ROOT)).replace("/", "-")
    ran = ROOT / "build/pages" / name / notebook.name
    told = ran if ran.exists() and cells(ran) == cells(notebook) else notebook
    node = nbformat.read(told, as_version=4)
    for cell in node.cells:
        if cell.cell_type == "code":  # on standard error, TensorFlow logs what the machine lacks
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    resources = {"unique_key": notebook.stem, "output_files_dir": f"{notebook.stem}_files"}
    exporter = MarkdownExporter(preprocessors=[CoalesceStreamsPreprocessor])
    text, resources = exporter.from_notebook_node(node, resources)
    heading, _, rest = text.lstrip().partition("\n")
    (folder / f"{notebook.stem}_files").mkdir(parents=True, exist_ok=True)
    (folder / f"{notebook.stem}.md").write_text(
        f"{heading}\n\n*[A notebook]({notebook.name}), executed by `make pages`.*\n{rest}",
        encoding="utf-8",
    )
    for file, content in resources["outputs"].items():
        (folder / file).write_bytes(content)
    shutil.copy(notebook, folder)


def main(out: Path) -> None:
    """Writes all pages into a folder, which is emptied first."""
    shutil.rmtree(out, ignore_errors=True)
    for pattern in (*PAGES, *PICTURES):
        for page in ROOT.glob(pattern):
            target = out / page.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            if page.suffix == ".md":  # notebooks are pages of the site
                text = page.read_text(encoding="utf-8")
                target.write_text(text.replace(".ipynb)", ".md)"), encoding="utf-8")
            else:
                shutil.copy(page, target)
    for notebook in ROOT.glob(NOTEBOOKS):
        write_notebook(notebook, out / notebook.parent.relative_to(ROOT))
    for room in FACES:
        package = ".".join(filter(None, ("mcuformer_tflm", room)))
        homes = names_of(ROOT / "mcuformer_tflm" / room / "__init__.py")
        lines = [f"# `{package}`", ""]
        for home in homes.values():
            lines += [f"::: {home}", ""]
        page = out / "reference" / f"{room or 'mcuformer_tflm'}.md"
        page.parent.mkdir(exist_ok=True)
        page.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
