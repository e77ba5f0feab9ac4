"""What is told of jobs in hand: the latest, and nothing of what is over."""

import pytest
import trio

from node.roles.news import NEWS_PAUSE_S, JobNews
from node.wire.leases import JobState, ReportProgress
from node.wire.presence import Ack


@pytest.fixture
async def heard(open_stage, make_author):
    """A stage whose market notes what it is told."""
    async with open_stage(make_author(2)) as stage:
        messages: list[ReportProgress] = []

        async def take(_sender, message):
            messages.append(message)
            return Ack()

        stage.person(stage.market).serve(ReportProgress, take)
        news = JobNews(stage.network)
        stage.nursery.start_soon(news.run)
        yield stage, news, messages


async def test_the_latest_state_of_each_job_is_told(heard, autojump_clock) -> None:
    stage, news, messages = heard
    draw = stage.draw()
    for phase in ("computing", "checking"):
        news.note(draw, 0, phase, 1, "a")
    news.note(draw, 1, "computing", 2, "b")
    await trio.sleep(2 * NEWS_PAUSE_S)
    (task,) = messages[0].tasks
    assert task.jobs == (JobState(0, "checking", 1, "a"), JobState(1, "computing", 2, "b"))
    assert (task.task_id, task.epoch, len(messages)) == (draw.task_id, draw.epoch, 1)


async def test_nothing_is_told_of_a_task_that_is_over(heard, autojump_clock) -> None:
    stage, news, messages = heard
    draw = stage.draw()
    news.note(draw, 0, "computing", 1, "a")
    news.forget(draw.task_id)
    await trio.sleep(2 * NEWS_PAUSE_S)
    assert messages == []
