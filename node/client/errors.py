"""The client's own errors, on top of the node's tree.

NodeError
├── Unavailable
│   └── AnswerLost      the request went out and no answer came back
└── TaskFailed          the task ended without what was waited for
"""

from node.errors import NodeError, Unavailable


class AnswerLost(Unavailable):
    """The node may have done what was asked; asking again must not do it twice."""


class TaskFailed(NodeError):
    """The task has ended without what was waited for, and its reward has gone back."""

    code = "task_failed"
