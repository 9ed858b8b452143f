"""What an unfinished run keeps in its folder."""

import pytest

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.task.clock import Clock


def test_a_runs_time_goes_on_from_what_was_kept(tmp_path):
    path = tmp_path / "clock.json"
    assert 0 <= Clock(path).seconds() < 60
    path.write_text('{"seconds": 3600.0}')
    assert 3600 <= Clock(path).seconds() < 3660


@pytest.mark.parametrize(
    "damage", ["", "1", "{}", "[" * 3000, "9" * 5000, '{"seconds": "1"}', '{"seconds": NaN}']
)
def test_a_damaged_clock_is_refused_by_its_file_and_the_remedy(tmp_path, damage):
    path = tmp_path / "clock.json"
    path.write_text(damage)
    with pytest.raises(ConfigError, match=f"{path} is damaged .*; remove {tmp_path} to start"):
        Clock(path)
