"""Pages passed through: one source a target, no circle, an end that always comes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from echostream.tones.passthrough import (
    MAX_WAITING,
    ChannelGone,
    Command,
    End,
    EndReason,
    Extend,
    Input,
    PageFollows,
    Passages,
    Refuse,
    Route,
    Start,
    Tick,
    Wait,
    step,
)


class Desk:
    """Steps through, and keeps the last commands."""

    def __init__(self) -> None:
        self.state = Passages()
        self.now = 100.0

    def do(self, event: Input) -> list[Command]:
        self.state, commands = step(self.state, event, self.now)
        return commands

    def page(
        self, source: str, target: str, length_s: float = 60.0, priority: int = 5, echo_free: bool = False
    ) -> list[Command]:
        route = Route(source, target, echo_free=echo_free)
        return self.do(PageFollows(route, f"{source}-page", source.upper(), priority, length_s))

    def after(self, seconds: float) -> list[Command]:
        self.now += seconds
        return self.do(Tick())

    @property
    def ways(self) -> list[str]:
        return [f"{one.route.source}>{one.route.target}" for one in self.state.running]


def kinds(commands: list[Command]) -> list[str]:
    return [type(command).__name__ for command in commands]


def test_a_page_opens_the_way_and_its_time_shuts_it() -> None:
    desk = Desk()
    started = desk.page("a", "b")
    assert kinds(started) == ["Start"]
    assert desk.state.due_at_s == 160.0
    assert desk.after(59.9) == []
    (ended,) = desk.after(0.1)
    assert isinstance(ended, End)
    assert ended.reason is EndReason.OVER
    assert desk.ways == []
    assert desk.state.due_at_s is None


def test_a_page_without_a_length_passes_nothing_on() -> None:
    desk = Desk()
    assert desk.page("a", "b", length_s=0.0) == []
    assert desk.ways == []


def test_the_same_page_again_extends_and_never_shortens() -> None:
    desk = Desk()
    desk.page("a", "b", 60.0)
    desk.now += 30
    (extended,) = desk.page("a", "b", 60.0)
    assert isinstance(extended, Extend)
    assert extended.passage.remaining_s(desk.now) == 60.0
    (shorter,) = desk.page("a", "b", 10.0)
    assert isinstance(shorter, Extend)
    assert shorter.passage.remaining_s(desk.now) == 60.0


def test_the_higher_priority_takes_the_target_and_the_other_goes_on_afterwards() -> None:
    desk = Desk()
    desk.page("a", "t", 60.0, priority=5)
    desk.now += 10
    ended, started = desk.page("b", "t", 20.0, priority=7)
    assert isinstance(ended, End)
    assert ended.reason is EndReason.HIGHER
    assert isinstance(started, Start)
    assert desk.ways == ["b>t"]
    ended, again = desk.after(20)
    assert isinstance(again, Start)
    assert again.passage.route.source == "a"
    assert again.passage.remaining_s(desk.now) == 30.0


def test_an_equal_priority_waits_for_the_first_to_end() -> None:
    desk = Desk()
    desk.page("a", "t", 30.0)
    desk.now += 1
    (wait,) = desk.page("b", "t", 60.0)
    assert isinstance(wait, Wait)
    assert desk.ways == ["a>t"]
    assert kinds(desk.after(29)) == ["End", "Start"]
    assert desk.ways == ["b>t"]


def test_who_waited_too_long_is_not_passed_on() -> None:
    desk = Desk()
    desk.page("a", "t", 60.0)
    desk.page("b", "t", 30.0)
    assert kinds(desk.after(60)) == ["End"]
    assert (desk.ways, desk.state.waiting) == ([], ())


def test_a_page_that_waits_is_extended_where_it_waits() -> None:
    desk = Desk()
    desk.page("a", "t", 60.0, priority=9)
    desk.page("b", "t", 30.0)
    desk.now += 20
    desk.page("b", "t", 60.0)
    assert len(desk.state.waiting) == 1
    assert kinds(desk.after(40)) == ["End", "Start"]
    assert desk.state.running[0].remaining_s(desk.now) == 20.0


def test_what_was_passed_through_is_never_passed_on() -> None:
    """The page heard on b may be a's, out of b's own loudspeaker: whatever its priority."""
    desk = Desk()
    desk.page("a", "b", 60.0)
    (refused,) = desk.page("b", "c", 60.0, priority=9)
    assert isinstance(refused, Refuse)
    assert desk.ways == ["a>b"]


def test_a_full_duplex_card_does_not_hear_itself_and_may_pass_on() -> None:
    desk = Desk()
    desk.page("a", "b", 60.0)
    assert kinds(desk.page("b", "c", 60.0, echo_free=True)) == ["Start"]
    assert desk.ways == ["a>b", "b>c"]


def test_a_way_into_a_channel_that_passes_on_itself_needs_the_higher_priority() -> None:
    desk = Desk()
    desk.page("b", "c", 30.0)
    assert kinds(desk.page("a", "b", 60.0)) == ["Wait"]
    assert kinds(desk.page("a", "b", 60.0, priority=6)) == ["End", "Start"]
    assert desk.ways == ["a>b"]
    # b's own page waits, and does not begin while a is passed through to b.
    assert kinds(desk.after(20)) == []
    assert desk.ways == ["a>b"]


def test_nothing_goes_round_even_on_cards_that_hear_nothing() -> None:
    desk = Desk()
    desk.page("a", "b", echo_free=True)
    desk.page("b", "c", echo_free=True)
    assert kinds(desk.page("c", "a", echo_free=True)) == ["Refuse"]
    assert kinds(desk.page("a", "a", echo_free=True)) == ["Refuse"]


def test_a_channel_that_goes_takes_its_ways_with_it_and_lets_others_on() -> None:
    desk = Desk()
    desk.page("a", "t", 60.0, priority=9)
    desk.page("b", "t", 60.0)
    ended, started = desk.do(ChannelGone("a"))
    assert isinstance(ended, End)
    assert ended.reason is EndReason.GONE
    assert isinstance(started, Start)
    assert kinds(desk.do(ChannelGone("t"))) == ["End"]
    assert (desk.state.running, desk.state.waiting) == ((), ())


def test_a_changed_plan_leaves_what_is_passed_into_its_channel() -> None:
    desk = Desk()
    desk.page("a", "b", 60.0)
    assert desk.do(ChannelGone("b", as_target=False)) == []
    assert desk.ways == ["a>b"]


def test_those_who_wait_are_bounded() -> None:
    desk = Desk()
    desk.page("a", "t", 60.0)
    last = [desk.page(f"s{number}", "t", 60.0) for number in range(MAX_WAITING + 1)][-1]
    assert kinds(last) == ["Refuse"]
    assert len(desk.state.waiting) == MAX_WAITING


channels = st.sampled_from("abcd")
events = st.one_of(
    st.builds(
        lambda source, target, priority, length, free: PageFollows(
            Route(source, target, echo_free=free), "x", "X", priority, length
        ),
        channels,
        channels,
        st.integers(0, 9),
        st.floats(0, 100),
        st.booleans(),
    ),
    st.builds(ChannelGone, channels, st.booleans()),
    st.just(Tick()),
)


@given(st.lists(st.tuples(events, st.floats(0, 40)), max_size=40))
def test_whatever_comes_there_is_one_source_a_target_no_circle_and_an_end(
    story: list[tuple[Input, float]],
) -> None:
    desk = Desk()
    opened: set[tuple[str, str]] = set()
    for event, pause_s in story:
        desk.now += pause_s
        for command in (*desk.do(Tick()), *desk.do(event)):
            match command:
                case Start(passage):
                    way = (passage.route.source, passage.route.target)
                    assert way not in opened
                    opened.add(way)
                case End(passage, _):
                    opened.remove((passage.route.source, passage.route.target))
                case _:
                    pass
        running = desk.state.running
        targets = [one.route.target for one in running]
        assert len(set(targets)) == len(targets)
        assert opened == {(one.route.source, one.route.target) for one in running}
        for one in running:  # follow the way: it never comes back
            seen, at = {one.route.source}, one.route.target
            while (onward := desk.state.of(at)) is not None:
                assert at not in seen
                seen.add(at)
                at = onward.route.target
            assert at not in seen
            into = desk.state.to(one.route.source)
            assert into is None or one.route.echo_free
    desk.after(1000)
    desk.after(1000)
    assert desk.state.running == ()
