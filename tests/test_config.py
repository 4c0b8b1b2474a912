import pytest

from kaggle_dsb.config import Settings


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match="frozen"):
        Settings().training.epochs = 3
