"""What becomes of a bond: nothing is lost on its way, and a slash takes its part of everything."""

from hypothesis import given
from hypothesis import strategies as st

from node.l1.escrow import Bond
from node.split import BASIS_POINTS

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("more"), st.integers(1, 100)),
        st.tuples(st.just("leave"), st.integers(1, 100)),
        st.tuples(st.just("arrive"), st.integers(1, 6)),
        st.tuples(st.just("slash"), st.integers(1, BASIS_POINTS)),
    ),
    max_size=12,
)


@given(STEPS)
def test_nothing_is_lost_on_its_way(steps: list[tuple[str, int]]) -> None:
    bond, put, out, taken = Bond("key"), 0, 0, 0
    for height, (kind, number) in enumerate(steps):
        before = bond
        if kind == "more":
            bond, put = bond.more(number), put + number
        elif kind == "leave" and number <= bond.units:
            bond = bond.leave(number, height + 3)
        elif kind == "arrive":
            bond, units = bond.arrive(number)
            out += units
        elif kind == "slash":
            bond, units = bond.slash(number)
            taken += units
            assert units == -(-before.total * number // BASIS_POINTS)
            assert bond.units == max(before.units - units, 0)
        assert bond.total + out + taken == put
        assert bond.total == bond.units + bond.unbonding
        assert min([bond.units, *(one.units for one in bond.leaving)]) >= 0
        heights = [one.height for one in bond.leaving]
        assert heights == sorted(set(heights))


def test_a_slash_takes_last_what_is_nearest_to_the_balance() -> None:
    bond = Bond("key").more(100).leave(50, 7).leave(40, 9)
    left, taken = bond.slash(3_000)
    assert (taken, left.units) == (30, 0)
    assert [(one.units, one.height) for one in left.leaving] == [(50, 7), (20, 9)]
    assert left.slash(BASIS_POINTS)[0].total == 0


@given(st.integers(1, 10**6), st.integers(1, 5_000), st.integers(1, 3))
def test_who_reports_itself_first_saves_nothing(units: int, slash_bp: int, times: int) -> None:
    """Of its own reports a culprit gets half back, and an award takes of what is left; up to
    `slash_bp` 5,000 that is no more than what the award alone would have left it."""
    bond, back = Bond("key").more(units), 0
    waiting = bond.slash(slash_bp)[0].total
    for _ in range(times):
        bond, taken = bond.slash(slash_bp)
        back += taken // 2
    assert bond.slash(slash_bp)[0].total + back <= waiting
