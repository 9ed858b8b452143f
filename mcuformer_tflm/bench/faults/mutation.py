"""A copy of the checkout in which mutants are planted and tested.

Tests run in forks of this process, which has imported TensorFlow and computed nothing with it: a
fork imports our modules from the copy, and a mutant costs its tests alone. Firmware's compiler goes
through ccache, a source at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mcuformer_tflm.bench.faults.forks import fork
from mcuformer_tflm.bench.faults.mutants import Mutant
from mcuformer_tflm.emulator.toolchain import COMPILER
from mcuformer_tflm.keras_models.exceptions import ConfigError, ToolchainError

# How long a test file may take; a mutant that makes it longer has been noticed.
_SECONDS = 900.0
_SOURCES = (".cc", ".h", ".S")
# Code for Cortex-M alone: the host's library is the same with its mutants.
_NOT_ON_HOST = "cortex_m"
# What forks would import again and again.
_PRELOADED = (
    "hypothesis.strategies", "keras_tuner", "matplotlib.pyplot", "numpy", "PIL.Image", "pytest",
    "rich.table", "tensorflow", "tensorflow_lite_support.metadata.metadata_schema_py_generated",
    "tensorflow_lite_support.metadata.python.metadata_writers.image_classifier",
    "tensorflow_model_optimization", "tf_keras", "unicorn",
)  # fmt: skip
# Compiles and links as the compiler does, but each source by itself, so that ccache serves those
# that have not changed.
_WRAPPER = """#!{python} -S
import os, subprocess, sys, tempfile
compiler, arguments = {compiler!r}, sys.argv[1:]
sources = [a for a in arguments if a.endswith((".cc", ".S")) and not a.startswith("-")]
if "-c" in arguments or "-o" not in arguments or not sources:
    os.execv({ccache!r}, [{ccache!r}, compiler, *arguments])
others = [a for a in arguments if a not in sources]
at = others.index("-o")
flags = [a for a in others[:at] + others[at + 2:] if not a.startswith("-Wl,") and a != "-r"]
with tempfile.TemporaryDirectory() as folder:
    objects = []
    for number, source in enumerate(sources):
        objects.append(os.path.join(folder, f"{{number}}.o"))
        command = [{ccache!r}, compiler, *flags, "-c", source, "-o", objects[-1]]
        if subprocess.call(command):
            sys.exit(1)
    sys.exit(subprocess.call([compiler, *others, *objects]))
"""


def find_checkout() -> Path:
    """Returns the folder of the checkout that this package is in.

    Raises:
        ConfigError: If it is in none.
    """
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists() or not (root / "tests").is_dir():
        raise ConfigError(
            f"{root} is no checkout. Mutants are planted in the sources and looked for by the "
            "tests: run this in a git checkout of mcuformer_tflm."
        )
    return root


class Workshop:
    """A copy of a checkout, with its own build.

    Args:
        root: The checkout.
        folder: Where the copy is or will be; what has not changed since is not built again.

    Raises:
        ToolchainError: If the copy's operators cannot be built.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        """Brings the copy up to date and builds its operators."""
        self.root, self.copy, self._log = root, folder / "checkout", folder / "log"
        self._tools = folder / "tools"
        self._is_built: bool = False
        for made in (self.copy, self._tools):
            made.mkdir(parents=True, exist_ok=True)
        self._synchronise()
        self._write_wrapper()
        self._environment = {
            "PATH": f"{self._tools}{os.pathsep}{os.environ['PATH']}",
            "CCACHE_DIR": str(root / "build/ccache"), "CCACHE_BASEDIR": "/",
            "CCACHE_NOHASHDIR": "1", "CMAKE_CXX_COMPILER_LAUNCHER": "ccache",
            "MCUFORMER_LIBRARY": str(self.copy / "build/lib/libmcuformer_ops.so"),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }  # fmt: skip
        self._run(
            "cmake", "-S", str(self.copy / "custom_ops"), "-B", str(self.copy / "build/cmake"),
            "-G", "Ninja", f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={self.copy / 'build/lib'}",
        )  # fmt: skip
        self._build()
        for name in _PRELOADED:
            importlib.import_module(name)

    def digest(self, mutant: Mutant) -> str:
        """Returns what tells whether a mutant's verdict still holds: it, its file and its tests."""
        told = repr((mutant.file, mutant.find, mutant.replace, mutant.tests))
        return self._digest(told, [mutant.file, *mutant.tests])

    def digest_of_test(self, test: str, mutants: Sequence[Mutant]) -> str:
        """Returns what tells whether a test still passes: it, and the files that it watches."""
        watched = {mutant.file for mutant in mutants if test in mutant.tests}
        return self._digest(test, [test, *sorted(watched)])

    def _digest(self, told: str, names: Sequence[str]) -> str:
        content = hashlib.sha256(told.encode())
        paths = [self.copy / name.split("::")[0] for name in names]
        helpers = (self.copy / "tests/helpers").rglob("*.*")
        paths += sorted(path for path in helpers if path.suffix in (".py", *_SOURCES))
        for path in [*paths, self.copy / "tests/conftest.py"]:
            content.update(path.read_bytes())
        return content.hexdigest()

    def problem(self, mutant: Mutant) -> str | None:
        """Plants a mutant, runs its tests one after another, and takes it out again.

        Returns:
            What noticed it first; None where nothing did.

        Raises:
            ConfigError: If what should see it is no test.
            SyntaxError: If it is no Python.
            ToolchainError: If it does not compile.
        """
        with self._planted(mutant):
            for test in mutant.tests:
                noticed = self.failure(test)
                if noticed is not None:
                    return noticed
        return None

    def failure(self, test: str) -> str | None:
        """Runs a file of tests, or one of them, and returns which one failed, or None.

        Raises:
            ConfigError: If there are no such tests.
            ToolchainError: If what they compile does not.
        """
        if not self._is_built:
            self._build()
        ending = fork(lambda: self._test(test), _SECONDS, self._log)
        if ending.hung:
            return f"{test} (hangs)"
        if ending.status == 0:
            return None
        if ending.status in (4, 5):
            raise ConfigError(f"pytest finds no {test}: {ending.told[-500:]}")
        if "ToolchainError" in ending.told:
            raise ToolchainError(ending.told[-2000:])
        named = re.search(r"^(?:FAILED|ERROR) (\S+)", ending.told, re.MULTILINE)
        if named is None and ending.status > 0 and "Error" not in ending.told:
            raise ConfigError(f"{test} did not run: {ending.told[-1000:]}")
        return named[1] if named else f"{test} ({ending.problem})"

    def _test(self, test: str) -> None:
        os.environ.update(self._environment)
        os.chdir(self.copy)
        # Its own package, not that of the environment, which may be this one's.
        own = [name for name in sys.modules if name.split(".")[0] == "mcuformer_tflm"]
        for name in own:
            del sys.modules[name]
        sys.meta_path[:] = [
            finder for finder in sys.meta_path if "editable" not in type(finder).__module__
        ]
        sys.path.insert(0, str(self.copy))
        os.environ["PYTHONPATH"] = str(self.copy)
        import pytest

        # A fault need not be told by the smallest example, for which hypothesis takes minutes.
        arguments = ["-x", "-q", "--tb=short", "--no-header", "--hypothesis-profile=unshrunken"]
        sys.exit(
            int(
                pytest.main(
                    [*arguments, "-p", "no:cacheprovider", "-p", "no:xdist", test], [_SlowLast()]
                )
            )
        )

    @contextlib.contextmanager
    def _planted(self, mutant: Mutant) -> Iterator[None]:
        path = self.copy / mutant.file
        text = path.read_text(encoding="utf-8")
        changed = mutant.planted(text)
        if path.suffix == ".py":
            compile(changed, path, "exec")
        builds = path.suffix in _SOURCES and mutant.area != _NOT_ON_HOST
        self._is_built = self._is_built and not builds
        try:
            _write(path, changed)
            yield
        finally:
            # With today's time, so that what was built of the mutant is built again: by the next
            # test, together with what the next mutant changes.
            _write(path, text)
            self._is_built = self._is_built and not builds

    def _synchronise(self) -> None:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=self.root, capture_output=True, check=True, text=True,
        )  # fmt: skip
        names = {name for name in listed.stdout.split("\0") if (self.root / name).is_file()}
        links = {name for name in listed.stdout.split("\0") if (self.root / name).is_symlink()}
        for name in names - links:
            source, target = self.root / name, self.copy / name
            content = source.read_bytes()
            if not target.is_file() or target.read_bytes() != content:
                target.parent.mkdir(parents=True, exist_ok=True)
                _remove_compiled(target)
                target.write_bytes(content)
                shutil.copymode(source, target)
        for name in links:
            target = self.copy / name
            if not target.is_symlink():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(os.readlink(self.root / name))
        kept = names | links
        for path in self.copy.rglob("*"):
            name = path.relative_to(self.copy).as_posix()
            if path.is_file() and name not in kept and not _is_made(name):
                path.unlink()

    def _write_wrapper(self) -> None:
        compiler, ccache = shutil.which(COMPILER), shutil.which("ccache")
        if compiler is None or ccache is None:
            raise ToolchainError(f"{COMPILER} or ccache is not installed; run `make setup`.")
        path = self._tools / COMPILER
        text = _WRAPPER.format(python=sys.executable, compiler=compiler, ccache=ccache)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            path.chmod(0o755)

    def _build(self) -> None:
        self._run("cmake", "--build", str(self.copy / "build/cmake"))
        self._is_built = True

    def _run(self, *command: str) -> None:
        scripts = Path(sys.executable).parent
        environment = os.environ | self._environment
        environment["PATH"] = f"{scripts}{os.pathsep}{environment['PATH']}"
        result = subprocess.run(command, capture_output=True, text=True, env=environment)
        if result.returncode != 0:
            raise ToolchainError(f"{' '.join(command[:2])} failed:\n{result.stdout[-2000:]}")


class _SlowLast:
    """Has pytest run the short tests first, which see most faults."""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Sorts what ``tests/conftest.py`` sorts the other way."""
        items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


def tests_of(mutants: Sequence[Mutant]) -> list[str]:
    """Returns the tests that several mutants name, each once."""
    return list(dict.fromkeys(test for mutant in mutants for test in mutant.tests))


def _write(path: Path, text: str) -> None:
    _remove_compiled(path)
    path.write_text(text, encoding="utf-8")
    _remove_compiled(path)


def _remove_compiled(path: Path) -> None:
    # It is told from its source by time in seconds and by size, which a mutant may share.
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()


def _is_made(name: str) -> bool:
    return name.startswith("build/") or "__pycache__/" in name or name.startswith(".hypothesis/")
