import os
from pathlib import Path

import pytest

from gpu.workloads.base import JobContext, RunReport
from node.sandbox import frames
from node.sandbox.child import Inbox, Outbox, execute

RUN = frames.Run("kind", JobContext("chain", "task", "worker", 1), b"parameters", "/scratch")
REPORT = RunReport((), (), bytes(32), 1, 0.0)


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def perform(pipe, run_job, *, cancelled: bool = False) -> frames.Answer:
    inbox = Inbox(pipe[0])
    if cancelled:
        inbox.cancelled.set()
    return execute(RUN, run_job, inbox, Outbox(pipe[1]))


def test_a_job_gets_what_the_node_asked_for(pipe):
    def run_job(kind, job, parameters, scratch, progress):
        assert (kind, job, parameters) == ("kind", RUN.job, b"parameters")
        assert scratch == Path("/scratch")
        return REPORT

    assert perform(pipe, run_job) == frames.Done(REPORT)


def test_an_error_is_told_by_its_type_and_text(pipe):
    def run_job(*_):
        raise ValueError("x" * 10_000)

    answer = perform(pipe, run_job)
    assert isinstance(answer, frames.Failed)
    assert answer.cause == "error"
    assert answer.reason.startswith("ValueError: xxx")
    assert len(answer.reason) == 500


def test_lack_of_memory_is_told_apart(pipe):
    def run_job(*_):
        raise MemoryError

    assert perform(pipe, run_job) == frames.Failed("memory", "")


def test_a_cancelled_job_stops_at_its_next_progress_report_even_if_it_hides_errors(pipe):
    def run_job(kind, job, parameters, scratch, progress):
        try:
            progress(0.5)
        except Exception:  # a careless workload
            return REPORT
        return REPORT

    assert perform(pipe, run_job, cancelled=True) == frames.Stopped()


def test_progress_is_thinned_out(pipe):
    def run_job(kind, job, parameters, scratch, progress):
        for step in range(1000):
            progress(step / 1000)
        return REPORT

    perform(pipe, run_job)
    first = frames.encode(frames.Progress(0.0))
    sent = os.read(pipe[0], 1 << 16)
    assert sent.startswith(first)
    assert len(sent) < 20 * len(first)


def test_a_cancel_concerns_the_job_before_it_only(pipe):
    inbox = Inbox(pipe[0])
    inbox.accept(RUN)
    inbox.accept(frames.Cancel())
    assert inbox.next_run() == RUN
    assert inbox.cancelled.is_set()
    inbox.accept(RUN)
    assert not inbox.cancelled.is_set()
