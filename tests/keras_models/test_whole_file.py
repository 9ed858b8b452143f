"""Files are old or new, nobody shares a part, and a kill's remains are taken away."""

import contextlib
import os
import signal
import stat
import threading

import pytest

from mcuformer_tflm.keras_models.exceptions import CheckpointError, ConfigError
from mcuformer_tflm.keras_models.folder_lock import locked
from mcuformer_tflm.keras_models.whole_file import (
    remove_partials,
    whole_file,
    whole_folder,
    write_whole,
)


def _killed(work):
    """Does the work in a fork that kills itself at its end."""
    child = os.fork()
    if child == 0:
        with contextlib.ExitStack() as stack:
            work(stack)
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_has_its_old_content_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "folder" / "file"
    write_whole(path, "old")
    with contextlib.suppress(KeyError), whole_file(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
        raise KeyError
    assert (path.read_text(), _names(path.parent)) == ("old", ["file"])
    with whole_file(path) as file:
        file.write(b"new")
    assert (path.read_text(), _names(path.parent)) == ("new", ["file"])


def test_part_that_a_kill_left_is_removed_by_the_next_writer_and_no_others(tmp_path):
    path, other = tmp_path / "file", tmp_path / "other"
    _killed(lambda stack: stack.enter_context(whole_file(path)).write(b"half"))
    (part,) = _names(tmp_path)
    assert part.startswith(".file.")
    write_whole(other, "")
    assert part in _names(tmp_path)
    with whole_file(path) as outer:
        assert part not in _names(tmp_path)
        outer.write(b"outer")
        with whole_file(path) as inner:
            inner.write(b"inner")
        assert path.read_bytes() == b"inner", "each has a part of its own"
    assert path.read_bytes() == b"outer"
    assert _names(tmp_path) == ["file", "other"]


def test_writers_of_one_file_leave_the_whole_of_one_of_them(tmp_path):
    path, contents = tmp_path / "file", [bytes([n]) * 100_000 for n in range(4)]
    threads = [
        threading.Thread(target=lambda c=c: [write_whole(path, c) for _ in range(20)])
        for c in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert _names(tmp_path) == ["file"]


def test_links_are_followed_devices_written_to_and_modes_are_the_users(tmp_path):
    (tmp_path / "link").symlink_to("file")
    write_whole(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "text"
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask
    write_whole(os.devnull, "text")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    write_whole(tmp_path / ("n" * 255), "")
    with pytest.raises(ConfigError, match=r"cannot be written \(Is a directory\)"):
        write_whole(tmp_path, "")


def test_what_cannot_be_written_is_named_and_leaves_nothing(tmp_path):
    for error in (ConfigError, CheckpointError):
        with (
            pytest.raises(error, match=r"/dev/full cannot be written \(No space left"),
            whole_file("/dev/full", error) as file,
        ):
            file.write(bytes(1 << 20))
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file/x cannot be written \(File exists\)"):
        write_whole(tmp_path / "file" / "x", "")
    with (
        pytest.raises(ConfigError, match="file cannot be written"),
        whole_folder(tmp_path / "file"),
    ):
        pass
    assert _names(tmp_path) == ["file"]


def test_folder_gets_all_files_or_none(tmp_path):
    out = tmp_path / "out"
    with contextlib.suppress(KeyError), whole_folder(out) as part:
        (part / "file").write_text("new")
        raise KeyError
    assert not out.exists()
    _killed(lambda stack: (stack.enter_context(whole_folder(out)) / "file").touch())
    assert len(_names(out)) == 1
    remove_partials(out)
    assert _names(out) == []
    (out / "old").touch()
    with whole_folder(out) as part:
        (part / "sub").mkdir()
        (part / "sub" / "file").touch()
        remove_partials(out)
        assert part.exists(), "that of one at work"
        assert _names(out) == sorted([part.name, "old"])
    assert _names(out) == ["old", "sub"]
    assert _names(out / "sub") == ["file"]


def test_second_process_in_a_folder_is_refused_and_a_kill_leaves_no_lock(tmp_path):
    with locked(tmp_path / "project"):
        told = rf"project is in use by process {os.getpid()} on "
        with pytest.raises(ConfigError, match=told), locked(tmp_path / "project"):
            pass
        child = os.fork()
        if child == 0:
            try:
                with locked(tmp_path / "project"):
                    os._exit(0)
            except ConfigError:
                os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert _names(tmp_path / "project") == []
    _killed(lambda stack: stack.enter_context(locked(tmp_path / "project")))
    assert _names(tmp_path / "project") == [".lock"]
    with locked(tmp_path / "project"):
        pass
    (tmp_path / "file").touch()
    with (
        pytest.raises(ConfigError, match=r"file cannot be written to \(File exists\)"),
        locked(tmp_path / "file"),
    ):
        pass
