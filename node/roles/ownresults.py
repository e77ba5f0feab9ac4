"""A worker's own results on the L1, from its own account, where the chain verifies proofs.

Whoever asks shows the quorum's verdicts: a worker pays fees for no result that nobody wants.
"""

from functools import partial

import trio

from node.l1.client import L1Client
from node.l1.errors import BadTransaction, L1Error
from node.l1.sender import OutboundRecord, Sender
from node.l1.transactions import Draft, Transaction
from node.offload import Offload
from node.verification.author import Author
from node.verification.claims import StatementInvalid
from node.verification.draws import check_draw
from node.verification.onchain import MarketProfile
from node.verification.own import own_draft
from node.verification.quorum import decide
from node.verification.statements import Judgement, check_result, check_verdict
from node.wire.publishing import PublishAnswer, PublishResult
from p2p.errors import RequestRefused
from p2p.network import Network
from storage.database import Database
from storage.store import Batch

CAUSE = "own-result:"


class OwnResults:
    """Sends what a quorum found valid, if the account has the fee."""

    def __init__(
        self,
        *,
        network: Network,
        db: Database,
        author: Author,
        markets: tuple[str, ...],
        sender: Sender,
        l1: L1Client,
        gas_price: int,
        offload: Offload,
    ) -> None:
        self._db = db
        self._author = author
        self._markets = markets
        self._sender = sender
        self._l1 = l1
        self._gas_price = gas_price
        self._profile = MarketProfile(author.chain_id)
        self._offload = offload
        self._turn = trio.Lock()
        network.serve(PublishResult, self._on_publish)

    async def _on_publish(self, _sender: str, message: PublishResult) -> PublishAnswer:
        """Stage it once, whoever asks how often, and tell how far it is."""
        try:
            self._check(message.judgement)
        except StatementInvalid as error:
            raise RequestRefused(error.code, str(error)) from error
        result = message.judgement.result
        cause = f"{CAUSE}{result.task_id}/{result.nonce}"
        async with self._turn:
            record = self._sender.find(cause)
            if record is None:
                refusal = await self._stage(cause, message)
                return PublishAnswer(taken=not refusal, reason=refusal)
        await self._db.flushed()
        return _answer(record)

    def _check(self, one: Judgement) -> None:
        """It is this worker's result, and a quorum of a known market's draw found it valid."""
        chain_id, draw = self._author.chain_id, one.draw
        check_draw(draw, chain_id, self._markets)
        if check_result(one.result, one.manifest, draw, chain_id) != self._key:
            raise StatementInvalid("is another worker's", field="result")
        for verdict in one.verdicts:
            check_verdict(verdict, draw, one.result, chain_id)
        if decide(one.verdicts, seats=len(draw.seats), needed=draw.needed) != "valid":
            raise StatementInvalid("make no quorum for this result", field="verdicts")

    @property
    def _key(self) -> bytes:
        return self._author.identity.public_key

    async def _stage(self, cause: str, message: PublishResult) -> str:
        """Stage the transaction; why not, in words."""
        if not self._sender.ready.is_set() or self._sender.blocked:
            return "the account cannot send now"
        draft = own_draft(message.judgement, message.output, self._author.chain_id, self._gas_price)
        if draft is None:
            return "the result does not fit a transaction"
        tx = self._unsigned(draft)
        try:
            if await self._l1.balance(tx.from_address) < tx.fee:
                return "the account does not have the fee"
            # What the chain refuses would keep back everything that this account sends later.
            await self._offload(partial(self._profile.check, tx))
        except (L1Error, BadTransaction) as error:
            return f"the chain would not take it: {error}"[:500]
        batch = Batch()
        self._sender.stage(batch, cause, draft)
        await self._db.commit(batch)
        return ""

    def _unsigned(self, draft: Draft) -> Transaction:
        gas = draft.gas or 0
        return Transaction(
            tx_type=draft.tx_type,
            from_address=self._author.address,
            to_address=None,
            amount=0,
            fee=gas * draft.gas_price,
            nonce=0,
            payload=draft.payload,
            gas_price=draft.gas_price,
            gas_limit=gas,
        )

    def on_confirmed(self, batch: Batch, record: OutboundRecord) -> None:
        """Nothing to note: the sender's record says where it is."""

    def on_lost(self, batch: Batch, record: OutboundRecord) -> None:
        """Nothing to send again: it goes into a batch."""


def _answer(record: OutboundRecord) -> PublishAnswer:
    if record.state == "lost":
        return PublishAnswer(taken=False, reason="its nonce was used by something else")
    confirmed = record.state == "confirmed" and record.height is not None
    return PublishAnswer(taken=True, height=record.height if confirmed and record.height else -1)
