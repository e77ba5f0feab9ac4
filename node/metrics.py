"""Numbers for Prometheus: what they are, and its text format 0.0.4.

Written by hand, for it is four rules: https://prometheus.io/docs/instrumenting/exposition_formats.
A label's values come from this program alone (commands, phases, names of counters), never from a
request or a peer, so that nobody can make their number grow.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Literal, NamedTuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""Upper bounds of a request's seconds; the last one is the longest wait for a task."""

Kind = Literal["counter", "gauge", "histogram"]


class Sample(NamedTuple):
    """One value of a family, told apart by its labels."""

    value: float
    labels: Mapping[str, str] = {}
    suffix: str = ""
    """`_bucket`, `_sum` or `_count` of a histogram."""


class Family(NamedTuple):
    """The samples of one name; a counter's name ends in `_total`."""

    name: str
    kind: Kind
    help: str
    samples: tuple[Sample, ...]


def gauge(name: str, help_text: str, value: float) -> Family:
    """A number that goes up and down, without labels."""
    return Family(name, "gauge", help_text, (Sample(value),))


def counter(name: str, help_text: str, value: float) -> Family:
    """A number that only grows while the node runs, without labels."""
    return Family(name, "counter", help_text, (Sample(value),))


def by_label(
    name: str, kind: Kind, help_text: str, label: str, values: Mapping[str, int]
) -> Family:
    """One number for each value of a label."""
    samples = (Sample(value, {label: key}) for key, value in sorted(values.items()))
    return Family(name, kind, help_text, tuple(samples))


def render(families: Iterable[Family]) -> str:
    """The families as text; one without samples is left out."""
    return "".join(line + "\n" for family in families if family.samples for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {_escaped(family.help)}"
    yield f"# TYPE {family.name} {family.kind}"
    for sample in family.samples:
        labels = ",".join(f'{key}="{_quoted(value)}"' for key, value in sample.labels.items())
        braces = f"{{{labels}}}" if labels else ""
        yield f"{family.name}{sample.suffix}{braces} {_number(sample.value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))


class Histogram:
    """How many of the observed seconds lie below each bound."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS_S) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one observation."""
        self._counts[bisect_left(BUCKETS_S, seconds)] += 1
        self._sum += seconds

    def samples(self, labels: Mapping[str, str]) -> Iterator[Sample]:
        """The cumulative buckets, the sum and the count."""
        bounds = (*map(repr, BUCKETS_S), "+Inf")
        for bound, count in zip(bounds, accumulate(self._counts), strict=True):
            yield Sample(count, {**labels, "le": bound}, "_bucket")
        yield Sample(self._sum, labels, "_sum")
        yield Sample(sum(self._counts), labels, "_count")


class RequestMeter:
    """What the API's requests came to."""

    def __init__(self) -> None:
        self._ended: Counter[tuple[str, int]] = Counter()
        self._seconds: dict[str, Histogram] = {}
        self.refused = 0
        """Requests refused unseen, because too many were running."""

    def add(self, command: str, status: int, seconds: float) -> None:
        """Count a request by the name of its command and the status of its answer."""
        self._ended[command, status] += 1
        self._seconds.setdefault(command, Histogram()).observe(seconds)

    def families(self) -> tuple[Family, ...]:
        """The numbers as they are now."""
        ended = (
            Sample(count, {"command": command, "status": str(status)})
            for (command, status), count in sorted(self._ended.items())
        )
        seconds = (
            sample
            for command, histogram in sorted(self._seconds.items())
            for sample in histogram.samples({"command": command})
        )
        return (
            Family("tmnode_requests_total", "counter", _ENDED, tuple(ended)),
            Family("tmnode_request_seconds", "histogram", _SECONDS, tuple(seconds)),
            counter("tmnode_requests_refused_total", _REFUSED, self.refused),
        )


_ENDED = "Requests answered, by command and HTTP status; calls inside /rpc count by their command."
_SECONDS = "Seconds from a request to the beginning of its answer."
_REFUSED = "Requests answered 429 unseen, because too many were running."
