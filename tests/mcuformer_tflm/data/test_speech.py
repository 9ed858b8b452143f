import shutil
import subprocess
import sys
import warnings
import wave
from pathlib import Path

import numpy as np
import pytest

from mcuformer_tflm import data as datasets
from mcuformer_tflm.data.speech_commands import SpeechCommands
from mcuformer_tflm.data.speech_features import LOG_MEL_98X40, MFCC_49X10
from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError, DataWarning

RATE = 16_000
EXAMPLES = Path(__file__).parents[3] / "examples"
# Speakers of the data set, and where its own lists have them.
HELD_OUT = {"026290a7": "validation", "060cd039": "validation", "099d52ad": "validation",
            "0c40e715": "testing", "0ea0e2f4": "testing", "bb05582b": "testing",
            "0d2bcf9d": "training"}  # fmt: skip
# Others, who are in training by the same rule.
TRAINED = ("s0", "s1", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11")


def write_wav(path, sound, rate=RATE, channels=1, width=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        samples = np.round(np.asarray(sound) * (2 ** (8 * width - 1) - 1))
        file.writeframes(samples.astype(f"<i{width}").tobytes())


def sine(hertz, seconds=1.0, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


@pytest.fixture
def folder(tmp_path):
    """Tones in place of words: every speaker says four of them, one of which is not asked for."""
    for word, hertz in (("go", 300), ("no", 1000), ("yes", 2500), ("marvin", 600)):
        for number, speaker in enumerate((*TRAINED, *HELD_OUT)):
            sound = sine(hertz * (1 + 0.001 * number))
            write_wav(tmp_path / word / f"{speaker}_nohash_0.wav", sound)
    noise = 0.3 * np.random.default_rng(0).uniform(-1, 1, 3 * RATE)
    write_wav(tmp_path / "_background_noise_" / "noise.wav", noise)
    (tmp_path / "README.md").write_text("no word")
    return tmp_path


@pytest.mark.parametrize(
    ("features", "size"), [(MFCC_49X10, (49, 10)), (LOG_MEL_98X40, (98, 40))], ids=str
)
def test_features_are_those_of_a_plain_fourier_transform(features, size):
    assert features.image_size == size
    sound = (sine(440) + 0.3 * np.random.default_rng(0).normal(size=RATE)).astype(np.float32) / 4
    length = 1 << int(np.ceil(np.log2(features.window)))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(features.window) / features.window)
    starts = np.arange(size[0])[:, None] * features.stride
    frames = sound[starts + np.arange(features.window)] * window
    power = np.abs(np.fft.rfft(frames, length)) ** 2
    mel = 1127 * np.log(1 + np.fft.rfftfreq(length, 1 / RATE) / 700)
    edges = 1127 * np.log(1 + np.array([features.lowest, features.highest]) / 700)
    corners = np.linspace(*edges, 42)
    triangles = np.stack([np.interp(mel, corners[i : i + 3], [0, 1, 0]) for i in range(40)])
    triangles[:, 0] = 0  # the mean of a frame tells nothing
    wanted = np.log(power @ triangles.T + 1e-6)
    if features.coefficients:
        angles = np.pi * np.outer(np.arange(10), np.arange(40) + 0.5) / 40
        wanted = wanted @ np.cos(angles).T * (2 / 40) ** 0.5
    np.testing.assert_allclose(features.values(sound), wanted, atol=5e-3)
    centre, span = features.scaling
    pixels = features(sound).numpy()
    assert pixels.shape == (*size, 1)
    back = (pixels[..., 0].astype(float) - 128) / 128 * span + centre
    np.testing.assert_allclose(back, wanted, atol=float(span.max()) / 250)


def test_features_of_silence_and_of_full_scale_are_within_reach():
    for features in (MFCC_49X10, LOG_MEL_98X40):
        for sound in (np.zeros(RATE), sine(1000, amplitude=1), np.sign(sine(300))):
            pixels = features(sound.astype(np.float32)).numpy()
            assert ((pixels == 0) | (pixels == 255)).mean() < 0.05


def test_nobodys_voice_is_in_two_parts_and_the_data_sets_own_rule_decides(folder):
    data = SpeechCommands(folder, 4)
    assert data.labels == ("yes", "no", "go", "unknown", "silence")
    for part in ("training", "validation", "testing"):
        speakers = {path.name.split("_")[0] for path, _ in data._words[part]}
        for speaker, where in HELD_OUT.items():
            assert (speaker in speakers) == (part == where)
    images, classes = data.arrays("validation")
    # Three speakers of three words; a tenth as many unknown and silent, at least one.
    assert sorted(classes.tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 4]
    assert images.shape == (11, 49, 10, 1)


def test_lists_in_the_folder_decide_instead(folder):
    (folder / "validation_list.txt").write_text("yes/s1_nohash_0.wav\nno/s4_nohash_0.wav\n")
    (folder / "testing_list.txt").write_text("go/s5_nohash_0.wav\n")
    data = SpeechCommands(folder, 4, extra_share=0.0)
    assert data.labels == ("yes", "no", "go")
    assert sorted(data.arrays("validation")[1].tolist()) == [0, 1]
    assert data.arrays("testing")[1].tolist() == [2]
    assert len(data.arrays("training")[1]) == 3 * 17 - 3


@pytest.mark.parametrize(
    "write",
    [
        lambda name: f"{name}\n".encode(),
        lambda name: f"{name}\r\n".encode(),
        lambda name: f"./{name}\n\n".encode(),
        lambda name: b"\xef\xbb\xbf" + f"{name}\n".encode(),
        lambda name: name.replace("/", "\\").encode(),
        lambda name: f".\\{name}  \r".replace("/", "\\").encode(),
    ],
    ids=["plain", "crlf", "dot", "byte_order_mark", "back_slashes", "all_of_it"],
)
def test_lists_hold_out_their_files_however_they_are_written(folder, write):
    # A blank in a name, and letters that take several bytes.
    (folder / "go").rename(folder / "turn on, größe")
    (folder / "validation_list.txt").write_bytes(write("turn on, größe/s1_nohash_0.wav"))
    (folder / "testing_list.txt").write_bytes(write("yes/s5_nohash_0.wav"))
    words = ["yes", "turn on, größe"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "The .* part of")
        data = SpeechCommands(folder, 4, extra_share=0.0, words=words)
    parts = {part: [(path.parent.name, path.name) for path, _ in files]
             for part, files in data._words.items()}  # fmt: skip
    assert parts["validation"] == [("turn on, größe", "s1_nohash_0.wav")]
    assert parts["testing"] == [("yes", "s5_nohash_0.wav")]
    assert len(parts["training"]) == 2 * 17 - 2


def test_lines_of_a_list_that_name_no_file_are_told(folder):
    lines = ["yes/s1_nohash_0.wav", "yes/nobody.wav", "maybe/s1_nohash_0.wav", "../yes/x.wav"]
    (folder / "testing_list.txt").write_text("\n".join(lines), encoding="utf-8")
    with pytest.warns(DataWarning, match=r"names 3 files .* \.\./yes/x.wav, maybe"):
        SpeechCommands(folder, 4)
    (folder / "testing_list.txt").write_text(lines[0], encoding="utf-16")
    with pytest.raises(DataError, match=r"testing_list.txt is no list in UTF-8"):
        SpeechCommands(folder, 4)


def test_a_sound_without_a_sample_is_no_example_of_its_word(folder, caplog):
    write_wav(folder / "yes" / "s0_nohash_1.wav", [])
    write_wav(folder / "_background_noise_" / "nothing.wav", [])
    data = SpeechCommands(folder, 1)
    assert len(data._background) == 1
    heard = sum(len(classes) for _, classes in data.epoch(0))
    assert heard == len(data) - 1
    assert {Path(path).name for path in data.skipped} == {"s0_nohash_1.wav", "nothing.wav"}
    assert "holds no sample" in caplog.text


@pytest.mark.parametrize("words", [None, ["go", "yes"]])
def test_folders_named_unknown_and_silence_are_those_classes_once(folder, words):
    for name, hertz in (("unknown", 700), ("silence", 50)):
        for speaker in (*TRAINED, *HELD_OUT):
            write_wav(folder / name / f"{speaker}_nohash_0.wav", sine(hertz))
    data = SpeechCommands(folder, 1, words=words, extra_share=1.0)
    plain = tuple(words or ("yes", "no", "go"))
    assert data.labels == (*plain, "unknown", "silence")
    by_class = {label: set() for label in data.labels}
    for epoch in range(3):
        for path, label in data._draw("training", np.random.default_rng(epoch)):
            by_class[data.labels[label]].add(path and path.parent.name)
    others = {"marvin", "unknown", "yes", "no", "go"} - set(plain)
    # Files of the folder come first, then stretches of noise.
    assert by_class == {**{w: {w} for w in plain}, "unknown": others, "silence": {"silence", None}}
    shutil.rmtree(folder / "_background_noise_")
    quiet = SpeechCommands(folder, 1, words=words)
    assert quiet.labels == data.labels
    assert len(quiet) == len(quiet._draw("training", np.random.default_rng(0)))
    assert SpeechCommands(folder, 1, words=words, extra_share=0.0).labels == plain


def test_where_no_word_is_a_keyword_unknown_and_silence_are_still_no_words(folder):
    for old, new in (("yes", "ja"), ("no", "nein"), ("go", "silence"), ("marvin", "unknown")):
        (folder / old).rename(folder / new)
    assert SpeechCommands(folder, 1).labels == ("ja", "nein", "unknown", "silence")
    for word in ("silence", "unknown"):
        with pytest.raises(ConfigError, match=f"'{word}', which is no word but a class besides"):
            SpeechCommands(folder, 1, words=["ja", word])
    with pytest.raises(ConfigError, match="'ja' more than once"):
        SpeechCommands(folder, 1, words=["ja", "ja"])


def test_sounds_are_found_by_suffix_and_others_are_counted_aloud(folder):
    shutil.copy(folder / "yes" / "s0_nohash_0.wav", folder / "yes" / "s90_nohash_0.WAV")
    for name in ("a.mp3", "b.mp3", "c.flac", "._s1_nohash_0.wav"):
        (folder / "yes" / name).write_bytes(b"")
    (folder / "__MACOSX").mkdir()
    shutil.copy(folder / "yes" / "s0_nohash_0.wav", folder / "beside.wav")
    with pytest.warns(DataWarning) as warned:
        data = SpeechCommands(folder, 1, extra_share=0.0)
    names = {path.name for part in data._words.values() for path, _ in part}
    assert "s90_nohash_0.WAV" in names
    assert not any(name.startswith(".") for name in names)
    texts = " ".join(str(one.message) for one in warned)
    assert "3 are passed over for their suffix: 2 .mp3, 1 .flac" in texts
    assert "beside.wav" in texts


def test_words_without_a_sound_are_told_by_name_and_part(folder):
    (folder / "maybe").mkdir()
    with pytest.raises(DataError, match="holds no file of maybe"):
        SpeechCommands(folder, 1, words=["yes", "maybe"])
    for speaker, part in HELD_OUT.items():
        if part == "testing":
            (folder / "go" / f"{speaker}_nohash_0.wav").unlink()
    with pytest.warns(DataWarning, match="The testing part of .* holds no example of go"):
        SpeechCommands(folder, 1)
    for part in ("train", "test"):
        shutil.copytree(folder / "yes", folder / part / "yes")
    with pytest.raises(DataError, match="holds test, train: the parts of a data set"):
        SpeechCommands(folder, 1)


def test_an_epoch_repeats_itself_and_no_other(folder):
    data = SpeechCommands(folder, 5, seed=3)
    one, again, other = ([x.numpy() for x, _ in data.epoch(n)] for n in (0, 0, 1))
    assert len(one) == len(data) == (3 * 11 + 3 + 3) // 5
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    values = np.concatenate(one)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, np.round(values * 128) / 128, "what the int8 model gets")


def test_words_are_moved_and_mixed_with_noise_in_training_alone(folder):
    data = SpeechCommands(folder, 5)
    path = data._words["training"][0][0]
    plain = data._hear(path, np.random.default_rng(0), augment=False)
    assert path.name == "0d2bcf9d_nohash_0.wav"
    np.testing.assert_allclose(plain, sine(2500 * 1.016), atol=1e-4)
    starts = []
    for seed in range(40):
        heard = data._hear(path, np.random.default_rng(seed), augment=True)
        assert heard.shape == (RATE,)
        assert np.abs(heard).max() <= 1
        # Noise is at most 0.1 * 0.3; the tone crosses 0.25 within a sixteenth of its period.
        starts.append(np.flatnonzero(np.abs(heard) > 0.25)[[0, -1]])
    first, last = np.array(starts).T
    assert first.max() > 1000
    assert last.min() < RATE - 1000
    assert (last - first).min() >= RATE - 1700


def test_short_and_long_sounds_become_a_second(folder):
    write_wav(folder / "yes" / "aa90_nohash_0.wav", sine(2500, 0.2))
    write_wav(folder / "yes" / "aa91_nohash_0.wav", sine(2500, 1.5))
    data = SpeechCommands(folder, 5)
    for name, loud in (("aa90", 0.2), ("aa91", 1.0)):
        path = folder / "yes" / f"{name}_nohash_0.wav"
        sound = data._hear(path, np.random.default_rng(0), augment=False)
        assert sound.shape == (RATE,)
        assert np.flatnonzero(sound)[-1] == pytest.approx(loud * RATE, abs=10)


def test_broken_sounds_are_named_and_left_out(folder, caplog):
    bad = {
        "aa88": lambda path: path.write_bytes(b"no sound"),
        "aa81": lambda path: path.write_bytes(b""),
        "aa82": lambda path: write_wav(path, sine(300), rate=22_050),
        "aa83": lambda path: write_wav(path, sine(300), channels=2),
        "aa84": lambda path: write_wav(path, sine(300), width=4),
        "aa85": lambda path: path.write_bytes(
            (folder / "go" / "s1_nohash_0.wav").read_bytes()[:9000]
        ),
    }
    for name, make in bad.items():
        make(folder / "go" / f"{name}_nohash_0.wav")
    data = SpeechCommands(folder, 1)
    for epoch in (0, 1):
        assert sum(len(x) for x, _ in data.epoch(epoch)) == len(data) - len(bad)
    assert {Path(path).name.split("_")[0] for path in data.skipped} == set(bad)
    assert len(caplog.records) == len(bad), "once each"
    assert "22050 samples a second" in caplog.text
    assert "ends after 4478 of 16000 samples" in caplog.text


def test_impossible_requests_are_refused_with_what_is_there(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"'maybe'.*it has go, marvin, no, yes"):
        SpeechCommands(folder, 4, words=["yes", "maybe"])
    with pytest.raises(ConfigError, match="batch_size is 0"):
        SpeechCommands(folder, 0)
    with pytest.raises(ConfigError, match="extra_share is 2"):
        SpeechCommands(folder, 1, extra_share=2)
    with pytest.raises(DataError, match="39 examples for training, fewer than one batch of 40"):
        SpeechCommands(folder, 40)
    with pytest.raises(DataError, match="no folder"):
        SpeechCommands(tmp_path / "missing", 4)
    with pytest.raises(ConfigError, match="'training', 'validation' and 'testing'"):
        SpeechCommands(folder, 4).arrays("test")
    empty = tmp_path / "empty"
    (empty / "yes").mkdir(parents=True)
    with pytest.raises(DataError, match="no words to train on"):
        SpeechCommands(empty, 1)
    for speaker, where in HELD_OUT.items():
        if where != "training":
            for word in ("yes", "no", "go"):
                (folder / word / f"{speaker}_nohash_0.wav").unlink()
    with pytest.raises(DataError, match=r"nothing for testing.*testing_list.txt"):
        SpeechCommands(folder, 1, extra_share=0.0).arrays("testing")


def test_data_sets_of_speech_have_names(folder):
    data = datasets.load(f"speech-commands:{folder}")
    assert data.train_images.shape[1:] == (49, 10, 1)
    assert data.labels == ("yes", "no", "go", "unknown", "silence")
    assert datasets.load(f"speech-commands-98x40:{folder}").test_images.shape[1:] == (98, 40, 1)


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="make setup installs espeak-ng")
def test_spoken_words_are_a_data_set_of_one_second_each(tmp_path):
    command = [sys.executable, EXAMPLES / "make_spoken_words.py", tmp_path, "--speakers", "3",
               "--words", "yes,no,happy"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    data = SpeechCommands(tmp_path, 1)
    assert data.labels == ("yes", "no", "unknown", "silence")
    sounds = [data._read(path) for part in data._words.values() for path, _ in part]
    assert [len(sound) for sound in sounds] == [RATE] * 6
    assert all(0.1 < np.abs(sound).max() < 1 for sound in sounds)
    assert not data.skipped
