"""Governors are read from the kernel's files, and advice is given only where it helps."""

from __future__ import annotations

from pathlib import Path

from echostream.realtime.governor import Governor, advice, governors


def make(root: Path, number: int, governor: str, cores: str = "0 1 2 3") -> None:
    place = root / f"sys/devices/system/cpu/cpufreq/policy{number}"
    place.mkdir(parents=True)
    (place / "scaling_governor").write_text(f"{governor}\n")
    (place / "related_cpus").write_text(f"{cores}\n")
    (place / "scaling_available_governors").write_text("conservative ondemand powersave performance\n")
    (place / "scaling_cur_freq").write_text("600000\n")
    (place / "scaling_min_freq").write_text("600000\n")
    (place / "scaling_max_freq").write_text("1800000\n")


def test_each_policy_is_read(tmp_path: Path) -> None:
    make(tmp_path, 0, "ondemand")
    make(tmp_path, 4, "performance", "4")
    first, second = governors(tmp_path)
    assert (first.policy, first.name, first.cores) == ("policy0", "ondemand", "0 1 2 3")
    assert (first.now_mhz, first.most_mhz) == (600.0, 1800.0)
    assert second.name == "performance"


def test_a_machine_without_has_none(tmp_path: Path) -> None:
    assert governors(tmp_path) == ()


def test_rubbish_is_no_frequency(tmp_path: Path) -> None:
    make(tmp_path, 0, "powersave")
    (tmp_path / "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq").write_text("<unknown>\n")
    assert governors(tmp_path)[0].now_mhz is None


def governor(name: str, *available: str) -> Governor:
    return Governor("policy0", "0 1 2 3", name, available, 600.0, 600.0, 1800.0)


def test_saving_power_is_advised_against() -> None:
    words = advice(governor("powersave", "powersave", "performance"))
    assert "echo performance" in words
    assert "policy0/scaling_governor" in words


def test_stepping_up_is_fine_while_nobody_is_late() -> None:
    assert advice(governor("ondemand", "performance")) == ""
    assert advice(governor("schedutil", "performance"), late_p99_us=300.0) == ""
    assert "echo performance" in advice(governor("ondemand", "performance"), late_p99_us=9000.0)
    assert advice(governor("performance", "performance"), late_p99_us=9000.0) == ""


def test_what_the_kernel_does_not_offer_is_not_advised() -> None:
    assert "echo schedutil" in advice(governor("powersave", "powersave", "schedutil"))
