"""The mixer: one passes through, several add up without overflow."""

from __future__ import annotations

import numpy as np
import pytest

from echostream.audio.mixer import mix


def test_one_talker_passes_through_exactly() -> None:
    part = np.array([-32768, -1, 0, 1, 32767], np.int16)
    mixed = mix([part])
    assert mixed.dtype == np.float32
    np.testing.assert_array_equal(mixed, part)


def test_sum_exceeds_full_scale_instead_of_wrapping() -> None:
    loud = np.full(4, 30_000, np.int16)
    np.testing.assert_array_equal(mix([loud, loud, loud.astype(np.float32)]), np.full(4, 90_000))


def test_result_is_nobodys_buffer() -> None:
    part = np.ones(4, np.float32)
    mix([part])[:] = 9
    np.testing.assert_array_equal(part, np.ones(4))


def test_nobody_is_silence() -> None:
    np.testing.assert_array_equal(mix([], 3), np.zeros(3))


def test_wrong_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(3,\) among frames of \(4,\)"):
        mix([np.zeros(4, np.int16), np.zeros(3, np.int16)])
    with pytest.raises(ValueError, match="no parts"):
        mix([])
