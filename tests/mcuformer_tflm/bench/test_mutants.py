"""Lists of mutants fit the sources, and a campaign tells which faults nothing has noticed."""

import dataclasses
from pathlib import Path

import pytest

from mcuformer_tflm.bench.faults.mutants import FOLDER, Mutant, read_mutants
from mcuformer_tflm.bench.faults.mutations import Verdicts, try_mutants
from mcuformer_tflm.keras_models.exceptions import ConfigError, ToolchainError

ROOT = Path(__file__).parents[3]
AREAS = ("adapters", "cortex_m", "cost", "exporter", "kernels", "planner", "search")


def test_each_mutant_replaces_what_is_in_the_sources_once_and_every_area_has_some():
    mutants = read_mutants(ROOT)
    areas = [mutant.area for mutant in mutants]
    assert tuple(dict.fromkeys(areas)) == AREAS
    assert min(areas.count(area) for area in AREAS) >= 2
    few = [mutant for mutant in mutants if mutant.short]
    assert [mutant.area for mutant in few] == sorted(AREAS * 2)
    assert not any(mutant.equivalent for mutant in few)


LIST = """
[tests]
"source.py" = ["test_source.py"]

[[mutant]]
file = "source.py"
find = "a + 1"
replace = "a"
fault = "one is missing"
"""


def _checkout(folder, text=LIST):
    (folder / "source.py").write_text("b = a + 1\n")
    (folder / "test_source.py").write_text("")
    (folder / FOLDER).mkdir(parents=True)
    (folder / FOLDER / "sums.toml").write_text(text)
    return folder


def test_a_mutant_is_its_file_with_one_text_replaced(tmp_path):
    (mutant,) = read_mutants(_checkout(tmp_path))
    assert (mutant.area, mutant.tests) == ("sums", ("test_source.py",))
    assert mutant.planted("b = a + 1\n") == "b = a\n"
    assert mutant.name == "source.py: one is missing"


def test_a_file_that_has_no_tests_of_its_own_has_those_of_the_others(tmp_path):
    (mutant,) = read_mutants(_checkout(tmp_path, LIST.replace('"source.py" =', '"*" =')))
    assert (mutant.file, mutant.tests) == ("source.py", ("test_source.py",))


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("a + 1", "a + 2", "'source.py: one is missing' replaces 'a [+] 2', which is there 0"),
        ("a + 1", " ", "replaces ' ', which is there 4 times. Find a text .*sums.toml"),
        ('replace = "a"', 'replace = "a + 1"', "is there twice, or replaces nothing"),
        ('["test_source.py"]', '["test_other.py"]', "names test_other.py, which is not there"),
        ('"source.py" =', '"other.py" =', "sums.toml is no list of mutants: KeyError"),
        ("fault", "wrong", "sums.toml is no list of mutants: TypeError"),
        ("[tests]", "[tests", "sums.toml is no list of mutants: TOMLDecodeError"),
    ],
)
def test_a_list_that_does_not_fit_the_sources_is_refused_by_name(tmp_path, before, after, named):
    root = _checkout(tmp_path, LIST.replace(before, after, 1))
    with pytest.raises(ConfigError, match=named):
        read_mutants(root)


def _mutant(fault, **fields):
    return Mutant("sums", "source.py", fault, "a", fault, ("test_source.py",), **fields)


class Workshop:
    """Stands for a copy of a checkout in which some faults are noticed."""

    def __init__(self, broken=None):
        self.tried = []
        self._broken = broken

    def digest(self, mutant):
        return mutant.find

    def digest_of_test(self, test, mutants):
        return test

    def failure(self, test):
        return self._broken

    def problem(self, mutant):
        self.tried.append(mutant.find)
        if "does not compile" in mutant.find:
            raise ToolchainError("no such register")
        return "test_source.py::test_a" if "seen" in mutant.find else None


MUTANTS = [
    _mutant("seen"), _mutant("missed"), _mutant("does not compile"),
    _mutant("changes nothing", equivalent="It is added again."),
    _mutant("seen, and should not be", equivalent="It is added again."),
]  # fmt: skip


def test_what_nothing_notices_is_lost_unless_it_is_known_to_change_nothing(tmp_path):
    result = try_mutants(Workshop(), Verdicts(tmp_path / "kept"), MUTANTS, lambda *_: None)
    assert (result.tried, result.survived, result.lost) == (5, 1, 3)
    missed, unbuilt, equivalent, seen = result.details
    assert "missed: noticed by none of test_source.py" in missed
    assert "no such register" in unbuilt
    assert "changes nothing. It is added again." in equivalent
    assert "said to change nothing, and noticed by test_source.py::test_a" in seen


def test_a_campaign_that_was_cut_short_goes_on_where_it_was(tmp_path):
    path = tmp_path / "kept"
    first, second = Workshop(), Workshop()
    try_mutants(first, Verdicts(path), MUTANTS[:2], lambda *_: None)
    result = try_mutants(second, Verdicts(path), MUTANTS, lambda *_: None)
    assert first.tried == ["seen", "missed"]
    assert second.tried == [mutant.find for mutant in MUTANTS[2:]]
    assert result == dataclasses.replace(
        try_mutants(Workshop(), Verdicts(tmp_path / "other"), MUTANTS, lambda *_: None)
    )


def test_tests_that_fail_without_a_fault_tell_nothing(tmp_path):
    with pytest.raises(ConfigError, match="test_a fails without any fault"):
        try_mutants(Workshop("test_a"), Verdicts(tmp_path / "kept"), MUTANTS, lambda *_: None)
