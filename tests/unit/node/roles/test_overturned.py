"""Only evidence that holds gets a worker barred."""

from typing import Any

import msgspec
import pytest
import trio

from node.roles.overturned import OverturnedWatch
from node.verification.juries import JuryJob, case_digest
from node.verification.rulings import Ruling, sign_ruling
from node.wire.appeals import OVERTURNED_TOPIC, ResultOverturned

CHAIN = "cpc-devnet-1"
FALSE = b"f" * 32


class Bench:
    """A validator that listens, and the evidence of a market against a worker."""

    def __init__(self, stage: Any, *markets: Any) -> None:
        self.stage = stage
        self.blamed: list[str] = []
        self.watch = OverturnedWatch(
            network=stage.network,
            chain_id=CHAIN,
            markets=[one.identity.peer_id for one in markets],
            gate=stage.jury_gate(),
            blame=self.blamed.append,
        )

    def ruling(self, jury: Any, juror: Any, *hashes: bytes) -> Ruling:
        digest = case_digest(jury, CHAIN)
        ruling = Ruling(jury.task_id, jury.epoch, digest, hashes or (FALSE,), b"")
        return sign_ruling(ruling, CHAIN, juror.identity)

    def evidence(self, *said: bytes, **about: object) -> ResultOverturned:
        stage = self.stage
        draw = stage.draw()
        result, manifest = stage.result(draw)
        jury = stage.jury(*stage.validators, **about)
        said = said or (FALSE, FALSE)
        pairs = zip(stage.validators, said, strict=False)
        rulings = tuple(self.ruling(jury, juror, one) for juror, one in pairs)
        claimed = (bytes.fromhex(result.result_hash),)
        return ResultOverturned(draw, result, manifest, jury, claimed, rulings)

    async def tell(self, message: ResultOverturned, who: Any = None) -> list[str]:
        await self.stage.person(who or self.stage.market).publish(OVERTURNED_TOPIC, message)
        await trio.testing.wait_all_tasks_blocked()
        return self.blamed


@pytest.fixture
async def bench(open_stage, make_author, autojump_clock):
    async with open_stage(make_author(3)) as stage:
        bench = Bench(stage, stage.market)
        await stage.nursery.start(bench.watch.run)
        yield bench


async def test_a_worker_whose_result_a_jury_found_false_is_blamed(bench, autojump_clock) -> None:
    worker = bench.stage.worker.identity.peer_id
    assert await bench.tell(bench.evidence()) == [worker]


async def test_nobody_but_the_market_tells_of_its_juries(bench, autojump_clock) -> None:
    assert await bench.tell(bench.evidence(), bench.stage.stranger) == []


async def test_what_is_not_believed(bench, autojump_clock) -> None:
    stage, evidence = bench.stage, bench.evidence()
    claimed = evidence.claimed[0]
    other_draw = stage.draw(task_id="another")
    other_result, other_manifest = stage.result(stage.draw(), nonce=7)
    forged = msgspec.structs.replace(evidence.result, signature="00" * 64)
    strangers = tuple(bench.ruling(evidence.jury, one) for one in (stage.stranger, stage.worker))
    twice = (evidence.rulings[0],) * 2
    replaced = msgspec.structs.replace
    for message in (
        bench.evidence(claimed, claimed),
        bench.evidence(FALSE),
        bench.evidence(FALSE, claimed),
        bench.evidence(FALSE, b"g" * 32, b"h" * 32),
        bench.evidence(needed=1),
        bench.evidence(task_id="another"),
        bench.evidence(jobs=(JuryJob(7, stage.worker.address),)),
        bench.evidence(jobs=(JuryJob(6, "cpc1other"),)),
        replaced(evidence, claimed=(FALSE,)),
        replaced(evidence, claimed=()),
        replaced(evidence, rulings=strangers),
        replaced(evidence, rulings=twice),
        replaced(evidence, result=forged),
        replaced(evidence, result=other_result, manifest=other_manifest),
        replaced(evidence, draw=other_draw),
        replaced(evidence, draw=replaced(evidence.draw, signature=bytes(64))),
        replaced(evidence, jury=replaced(evidence.jury, signature=bytes(64))),
    ):
        assert await bench.tell(message) == []
    assert await bench.tell(evidence) != []


@pytest.mark.parametrize("pinned", [(), ("stranger",)])
async def test_only_pinned_markets_are_heard(
    open_stage, make_author, autojump_clock, pinned
) -> None:
    """Where none is, anybody could be one, with a jury of its own making."""
    async with open_stage(make_author(3)) as stage:
        bench = Bench(stage, *(getattr(stage, one) for one in pinned))
        await stage.nursery.start(bench.watch.run)
        assert await bench.tell(bench.evidence()) == []
