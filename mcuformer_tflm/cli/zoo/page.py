"""A model's card on the terminal."""

from __future__ import annotations

from mcuformer_tflm.task.terminal import results


def print_page(markdown: str) -> None:
    """Prints a page of Markdown: laid out on a terminal, as it stands elsewhere."""
    console = results()
    if not console.is_terminal:
        print(markdown, end="")
        return
    from rich.markdown import Markdown

    console.print(Markdown(markdown))
