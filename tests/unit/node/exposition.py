"""Reads Prometheus' text format 0.0.4, written from its description and nothing else."""

import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)")
ENDS = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


def unquoted(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), text)


def parsed(text: str) -> dict[str, dict[tuple, float]]:
    """Family -> labels (with the sample's suffix) -> value; asserts every rule of the format."""
    families: dict[str, dict[tuple, float]] = {}
    kinds: dict[str, str] = {}
    assert text.endswith("\n")
    lines = iter(text[:-1].split("\n"))
    name = ""
    for line in lines:
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            assert re.fullmatch(NAME, name)
            assert name not in families, "a family is not split"
            about, named, kind = next(lines).removeprefix("# ").split(" ")
            assert (about, named) == ("TYPE", name)
            kinds[name], families[name] = kind, {}
            assert (kind == "counter") == name.endswith("_total")
            continue
        found = SAMPLE.fullmatch(line)
        assert found, line
        suffix = found[1].removeprefix(name)
        assert found[1].startswith(name)
        assert suffix in ENDS[kinds[name]]
        labels = [(key, unquoted(value)) for key, value in re.findall(LABEL, found[2] or "")]
        assert len(dict(labels)) == len(labels)
        key = (suffix, *sorted(labels))
        assert key not in families[name], "a sample is there once"
        families[name][key] = float(found[found.re.groups])
    for name, kind in kinds.items():
        assert families[name]
        if kind == "histogram":
            check_histogram(families[name])
    return families


def check_histogram(samples: dict[tuple, float]) -> None:
    by_owner: dict[tuple, list[tuple[float, float]]] = {}
    for (suffix, *labels), value in samples.items():
        if suffix == "_bucket":
            owner = tuple(label for label in labels if label[0] != "le")
            by_owner.setdefault(owner, []).append((float(dict(labels)["le"]), value))
    for owner, buckets in by_owner.items():
        assert buckets == sorted(buckets)
        assert [value for _, value in buckets] == sorted(value for _, value in buckets)
        assert buckets[-1] == (math.inf, samples[("_count", *owner)])
        assert samples[("_sum", *owner)] >= 0
