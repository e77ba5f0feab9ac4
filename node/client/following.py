"""Following a task until it has come far enough: when to ask again, and when to give up."""

from collections.abc import Mapping

import msgspec

from node.api import answers
from node.client import calls
from node.client.calls import Call
from node.client.errors import TaskFailed
from node.errors import Unavailable
from node.market.phases import ENDS

GOALS = ("completed", "verified", "anchored", "settled")
"""How far a task may be wanted to come, in this order."""
COMES_TO: Mapping[str, str] = {
    "verified": "verified",
    "reclaimed": "verified",
    "anchored": "anchored",
    "settled": "settled",
}
"""The last goal that a completed task in a phase has reached."""

LONGEST_WAIT_S = 30.0


class Goal(msgspec.Struct, frozen=True):
    """How far a task must have come, and the moment after which nobody waits for it any more."""

    until: str
    deadline_s: float
    """On the clock that `next_call` is asked with."""

    def next_call(self, task: answers.TaskAnswer, now_s: float) -> Call[answers.TaskAnswer] | None:
        """What to ask next; None when the goal is reached.

        Raises TaskFailed if the task has ended without, or Unavailable when time is up.
        """
        if self._is_reached(task):
            return None
        if task.status == "failed" or task.phase in ENDS:
            raise TaskFailed(_reason(task), field=task.task_id)
        left_s = self.deadline_s - now_s
        if left_s <= 0:
            message = f"is {task.status}, phase {task.phase}, and time is up"
            raise Unavailable(message, field=task.task_id, remedy="wait again, or cancel it")
        return calls.wait(task.task_id, phase=task.phase, timeout_s=min(left_s, LONGEST_WAIT_S))

    def _is_reached(self, task: answers.TaskAnswer) -> bool:
        if task.status != "completed":
            return False
        reached = COMES_TO.get(task.phase, GOALS[0])
        return GOALS.index(reached) >= GOALS.index(self.until)


def _reason(task: answers.TaskAnswer) -> str:
    has_failed, problem = task.status == "failed", task.error
    if isinstance(problem, msgspec.UnsetType):
        return "failed" if has_failed else f"ended {task.phase}"
    said = f"failed, {problem.code}" if has_failed else f"ended {task.phase}"
    return f"{said}: {problem.message}"
