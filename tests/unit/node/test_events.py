import trio

from node.events import first_of


async def test_the_first_of_several_events_is_enough(autojump_clock) -> None:
    events = [trio.Event() for _ in range(3)]

    async def set_later(event: trio.Event, delay_s: float) -> None:
        await trio.sleep(delay_s)
        event.set()

    async with trio.open_nursery() as nursery:
        for delay_s, event in zip((3, 1, 2), events, strict=True):
            nursery.start_soon(set_later, event, delay_s)
        await first_of(*events)
        assert trio.current_time() == 1


async def test_an_event_that_is_set_already(autojump_clock) -> None:
    done = trio.Event()
    done.set()
    await first_of(trio.Event(), done)
    assert trio.current_time() == 0
