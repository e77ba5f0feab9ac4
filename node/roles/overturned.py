"""What a validator makes of results that turned out false: their workers get no jobs from it.

A market's word is not enough: draw, result, jury and rulings are checked, so that nobody can have a
worker barred whose result a jury did not find false. Only pinned markets are heard: where none is,
anybody is a market, and could draw a jury of its own making.
"""

import logging
from collections.abc import Callable, Collection

import trio

from node.roles.juror import JuryGate
from node.verification.cases import check_same_work
from node.verification.claims import StatementInvalid
from node.verification.draws import check_draw, job_of
from node.verification.juries import JuryJob
from node.verification.rulings import check_ruling, decide_appeal
from node.verification.statements import check_result
from node.wire.appeals import OVERTURNED_TOPIC, ResultOverturned
from p2p.identity import peer_id_of, public_key_of
from p2p.network import Network

log = logging.getLogger(__name__)


class OverturnedWatch:
    """Listens for overturned results and blames their workers (peer ids) for them."""

    def __init__(
        self,
        *,
        network: Network,
        chain_id: str,
        markets: Collection[str],
        gate: JuryGate,
        blame: Callable[[str], None],
    ) -> None:
        self._network = network
        self._chain_id = chain_id
        self._markets = markets
        self._gate = gate
        self._blame = blame

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled."""
        async with self._network.subscribe(OVERTURNED_TOPIC) as received:
            task_status.started()
            async for sender, message in received:
                if isinstance(message, ResultOverturned):
                    await self._hear(sender, message)

    async def _hear(self, sender: str, message: ResultOverturned) -> None:
        task_id = message.jury.task_id
        if not self._markets:
            return
        try:
            if message.jury.market_key != public_key_of(sender):
                raise StatementInvalid("only a market itself tells of its juries", field="jury")
            worker = await self._culprit(message)
        except StatementInvalid as error:
            log.info("task %s: %s is not believed: %s", task_id, sender, error)
            return
        log.warning("task %s: the result of %s was overturned", task_id, worker)
        self._blame(worker)

    async def _culprit(self, message: ResultOverturned) -> str:
        """Peer id of the worker; raises StatementInvalid unless a jury found its result false."""
        draw, jury, result = message.draw, message.jury, message.result
        check_draw(draw, self._chain_id, self._markets)
        key = check_result(result, message.manifest, draw, self._chain_id)
        index = job_of(result.nonce)
        check_same_work(jury, draw)
        await self._gate.admit(jury)
        if not index < len(jury.jobs) == len(message.claimed):
            raise StatementInvalid("there is no such job", field="nonce")
        disputed = (jury.jobs[index], message.claimed[index])
        if disputed != (
            JuryJob(result.nonce, result.worker_address),
            bytes.fromhex(result.result_hash),
        ):
            raise StatementInvalid("the jury is about another result", field="jury.jobs")
        for ruling in message.rulings:
            check_ruling(ruling, jury, self._chain_id)
        decision = decide_appeal(
            message.rulings, message.claimed, seats=len(jury.seats), needed=jury.needed
        )
        if decision is None or index not in decision.wrong:
            raise StatementInvalid("this jury did not find the result false", field="rulings")
        return peer_id_of(key)
