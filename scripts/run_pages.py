"""Follows pages of the documentation, and notebooks, as their readers do; without names, all.

    .venv/bin/python scripts/run_pages.py docs/quick-start.md examples/notebooks/search.ipynb

A page is followed in a fresh folder under build/pages, in which the checkout's `.venv` and
`examples` lie, with the programs of `.venv` on the PATH. Blocks of shell run in one shell, in their
order; a block that begins with a file's name in a comment (`# mine.toml`, `// mine.cc`) is saved as
that file. Blocks of Python are `make test`'s. A notebook is executed as Jupyter does it. The first
command that fails is told with its page and line.

Two comments in a page are for this program, and not seen on the site: before a block that cannot
run here, and wherever a reader has something already that the page does not make:

    <!-- not run: the reason -->
    <!-- given: a command that makes it -->
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUT = ROOT / "build/pages"
PATTERNS = ("examples/notebooks/*.ipynb", "docs/**/*.md", "*.md", "examples/**/*.md")
FIRST = "docs/quick-start.md"  # the longest
BLOCK = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"^[ \t]+```", re.MULTILINE)
NOT_RUN = re.compile(r"^<!-- not run:(.*)-->\n", re.MULTILINE)
GIVEN = re.compile(r"^<!-- given:(.*)-->\n", re.MULTILINE)
FILE = re.compile(r"(?:#|//) (\S+\.(?:toml|cc))\n")
# On the first line, where a page has its heading. Each command is told before it runs.
PREAMBLE = (
    "PS4='+ ${BASH_SOURCE[0]}:$LINENO (${SECONDS} s) '; set -euo pipefail; "
    """trap 'echo "${BASH_SOURCE[0]}:$LINENO: status $?" >&2' ERR; set -x"""
)


class PageError(ValueError):
    """A page that says wrongly what of it runs."""


@dataclasses.dataclass(frozen=True)
class Page:
    """What of a page runs.

    Attributes:
        name: Its path in the repository.
        commands: By their lines, from 1.
        left_out: Why blocks do not run, by the lines at which they begin.
    """

    name: str
    commands: dict[int, str]
    left_out: dict[int, str]

    def script(self) -> str:
        """Returns the page for bash, each command in the line where the page has it."""
        last = max(self.commands, default=1)
        return "\n".join(
            [PREAMBLE, *(self.commands.get(number, "") for number in range(2, last + 1)), ""]
        )


def read_page(name: str, text: str) -> Page:
    """Reads what of a page runs.

    Raises:
        PageError: If a comment for this program says nothing, or stands before no block, or if a
            block lies in a list, where it would not be seen.
    """

    def line(position: int) -> int:
        return text.count("\n", 0, position) + 1

    for wrong in INDENTED.finditer(text):
        raise PageError(f"{name}:{line(wrong.start())}: begin the block at the line's start.")
    commands, left_out = {}, {}
    reasons = {reason.end(): reason for reason in NOT_RUN.finditer(text)}
    for block in BLOCK.finditer(text):
        begins = line(block.start())
        lines = dict(enumerate(block[2].splitlines(), begins + 1))
        if reason := reasons.pop(block.start(), None):
            left_out[begins] = reason[1].strip()
        elif block[1] in ("sh", "bash", "console"):
            commands |= lines
        elif file := FILE.match(block[2]):
            ends = line(block.end())
            commands |= {begins: f"cat > {shlex.quote(file[1])} <<'END'", **lines, ends: "END"}
    for given in GIVEN.finditer(text):
        commands[line(given.start())] = given[1].strip()
    for reason in reasons.values():
        raise PageError(f"{name}:{line(reason.start())}: no block begins on the next line.")
    for number, told in {**left_out, **commands}.items():
        if not told and text.splitlines()[number - 1].startswith(("```", "<!--")):
            raise PageError(f"{name}:{number}: say why the block does not run, or what is given.")
    return Page(name, commands, left_out)


def all_pages() -> Iterator[str]:
    """Yields the names of notebooks, and of pages with something to run or to leave out."""
    found = [path for pattern in PATTERNS for path in sorted(ROOT.glob(pattern))]
    for name in sorted((str(path.relative_to(ROOT)) for path in found), key=FIRST.__ne__):
        page = None if name.endswith(".ipynb") else _read(name)
        if page is None or page.commands or page.left_out:
            yield name


def follow(name: str) -> tuple[bool, str]:
    """Returns whether a page or a notebook could be followed, and what there is to tell."""
    started = time.monotonic()
    folder = OUT / name.replace("/", "-")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    told = []
    if name.endswith(".ipynb"):
        shutil.copy(ROOT / name, folder)
        command = ["jupyter-execute", "--inplace", Path(name).name]
    else:
        page = _read(name)
        told = [f"- {name}:{number} is left out: {why}" for number, why in page.left_out.items()]
        if not page.commands:
            return True, "\n".join(told)
        for shared in (".venv", "examples"):
            (folder / shared).symlink_to(ROOT / shared)
        script = folder.with_name(f"{folder.name}.sh")
        script.write_text(page.script(), encoding="utf-8")
        command = ["bash", str(script)]
    log = folder.with_name(f"{folder.name}.log")
    path = f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
    with log.open("w", encoding="utf-8") as output:
        status = subprocess.run(
            command, cwd=folder, env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "PATH": path},
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False,
        ).returncode  # fmt: skip
    printed = log.read_text(encoding="utf-8").replace(f"{folder}.sh", name).splitlines()
    told += printed if status else [line for line in printed if line.startswith(f"+ {name}:")]
    seconds = time.monotonic() - started
    told.append(f"{name}: {f'FAILED, status {status}' if status else 'followed'}, {seconds:.0f} s")
    return not status, "\n".join(told)


def _read(name: str) -> Page:
    return read_page(name, (ROOT / name).read_text(encoding="utf-8"))


def main(names: list[str]) -> int:
    """Follows pages, one a core; returns the status for the shell."""
    failed = []
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        names = names or list(all_pages())
        for name, (well, told) in zip(names, pool.map(follow, names), strict=True):
            print(told, flush=True)
            if not well:
                failed.append(name)
    if failed:
        print(
            f"Could not be followed: {', '.join(failed)}. All output is in {OUT}.", file=sys.stderr
        )
    return len(failed) > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
