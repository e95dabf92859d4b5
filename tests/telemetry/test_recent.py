"""Figures that only grow, over the last seconds."""

from notification_sender.telemetry.recent import RecentFigures


def test_the_growth_is_that_of_the_window_or_of_a_shorter_life() -> None:
    figures = RecentFigures(40.0, 0.0, {"slots": {"claim": 1.0}})
    assert figures.add(5.0, {"slots": {"claim": 2.0, "render": 3.0}}) == (5.0, {"slots": {"claim": 1.0, "render": 3.0}})
    for number in range(2, 12):
        recent = figures.add(5.0 * number, {"slots": {"claim": 2.0 + number}})
    assert recent == (40.0, {"slots": {"claim": 8.0}})
    assert recent.group("apis") == {}


def test_figures_that_did_not_grow_are_left_out() -> None:
    figures = RecentFigures(40.0, 0.0, {"slots": {"claim": 1.0}})
    assert figures.add(5.0, {"slots": {"claim": 1.0}}).group("slots") == {}
