"""Replays what fuzzing has found and begun with: no reader ends in a foreign error."""

import pytest
from fuzz_readers import CORPUS, READERS


@pytest.mark.parametrize("name", READERS)
def test_no_file_of_the_corpus_leads_a_reader_to_a_foreign_error(name):
    paths = sorted((CORPUS / name).iterdir())
    assert len(paths) > 5
    for path in paths:
        READERS[name](path.read_bytes())


def test_the_corpus_is_small():
    sizes = [path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()]
    assert sum(sizes) < 200_000
