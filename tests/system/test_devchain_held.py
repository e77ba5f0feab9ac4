"""Held money on a development chain as a process: over real HTTP, on a real disk, and killed."""

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio

from node.amounts import Amount
from node.keys import bind
from node.l1.client import HttpL1Client
from node.l1.escrow import (
    Act,
    Award,
    Claim,
    Member,
    Opening,
    Payee,
    ShareTerms,
    appeal_escrow,
    award_digest,
    bond,
    deposit,
    escrow_id_of,
    open_escrows,
    payout,
    refund_escrow,
    rule_escrow,
    settle_escrow,
    settle_escrows,
    sign_award,
    sign_claim,
    sign_claims,
    sign_refund,
    unbond,
    withdraw_all,
)
from node.l1.keys import AccountKey
from node.l1.transactions import Draft, tx_hash
from node.split import Shares
from node.verification.acts import SignedVerdict
from node.verification.jsonable import to_jsonable
from node.verification.offences import two_verdicts
from node.verification.statements import Verdict, sign_verdict
from p2p.identity import Identity

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
CHAIN = "cpc-devnet-1"
MARKET, CUSTOMER, WORKER, VALIDATOR = (AccountKey(n.to_bytes(32, "big")) for n in (1, 2, 3, 4))
SIGNERS = sorted(
    (Identity.from_seed(bytes([n]) * 32) for n in (1, 2, 3)), key=lambda one: one.public_key
)
PATIENCE_S = 60
TASKS = tuple(f"00000000-0000-4000-8000-00000000000{number}" for number in range(1, 5))
PAID, BACK, FALSE, BESIDE = (escrow_id_of(CHAIN, MARKET.address, task) for task in TASKS)
"""The names of their escrows."""


class Running:
    """A process, and what tells us when a transaction is in a block."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self.client = HttpL1Client(url, http)
        self._url, self._http = url, http

    async def included(self, *sent: tuple[AccountKey, Draft]) -> list[str]:
        """Send, and wait until blocks hold what was taken; why the others were refused."""
        waiting, refusals = set[str](), list[str]()
        async with self._http.stream("GET", f"{self._url}/events/stream", timeout=None) as events:
            # Cancelled rather than left, so that httpx's nested generators all end.
            with trio.fail_after(PATIENCE_S), trio.CancelScope() as reading:
                async for line in events.aiter_lines():
                    if line == ": ping" and not waiting:
                        for sender, draft in sent:
                            await self._send(sender, draft, waiting, refusals)
                    elif line.startswith("data: "):
                        waiting.discard(json.loads(line.removeprefix("data: "))["tx_hash"])
                    if not waiting:
                        reading.cancel()
        return refusals

    async def _send(
        self, sender: AccountKey, draft: Draft, waiting: set[str], refusals: list[str]
    ) -> None:
        tx = draft.signed(sender, await self.client.nonce(sender.address, pending=True))
        outcome = await self.client.send(tx)
        if outcome.status == "rejected":
            refusals.append(outcome.reason)
        else:
            waiting.add(tx_hash(tx))


@asynccontextmanager
async def running(folder: Path, genesis_time: int) -> AsyncIterator[Running]:
    """The program as a process; leaving the block kills it."""
    command = [sys.executable, str(ROOT / "tests/system/devchain_program.py")]
    command += [str(folder), "0", str(genesis_time), "market"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    try:
        with trio.fail_after(PATIENCE_S):
            url = (await process.stdout.receive_some()).decode().strip()
        async with httpx.AsyncClient(verify=False, timeout=PATIENCE_S) as http:
            yield Running(url, http)
    finally:
        process.kill()
        await process.wait()
        await process.stdout.aclose()


def opening(task: str, height: int) -> Opening:
    members = tuple(
        Member(address=VALIDATOR.address, public_key=one.public_key.hex()) for one in SIGNERS
    )
    return Opening(
        task_id=task,
        customer=CUSTOMER.address,
        amount=Amount(10**19),
        validators=members,
        k=2,
        deadline=height + 5_000,
        grace=5,
        shares=ShareTerms.of(Shares()),
        fee_reserve=Amount(10**9),
        burn_address="cpc1burn" + "0" * 34,
        treasury_address="cpc1treasury" + "0" * 42,
    )


def claimed() -> Claim:
    return Claim(
        workers=(Payee(address=WORKER.address, weight=1),),
        validators=(Payee(address=VALIDATOR.address, weight=1),),
        orchestrator=VALIDATOR.address,
        results="00" * 32,
    )


def two_faced() -> Draft:
    """The SLASH of the first signer, bonded by the validator's account."""
    verdicts = [
        Verdict("t", 1, 0, 1, WORKER.address, bytes(32), finding, bytes(32), b"")
        for finding in ("valid", "invalid")
    ]
    signed = [sign_verdict(one, CHAIN, SIGNERS[0]) for one in verdicts]
    return two_verdicts(MARKET.address, VALIDATOR.address, signed[0], signed[1])


def overturned() -> tuple[Draft, Award]:
    """That the validator found a false result valid; one juror is paid."""
    verdict = Verdict(TASKS[2], 1, 0, 1, WORKER.address, b"f" * 32, "valid", bytes(32), b"")
    shown = SignedVerdict(sign_verdict(verdict, CHAIN, SIGNERS[0]))
    act = Act(address=VALIDATOR.address, evidence=to_jsonable(shown))
    award = Award(
        outcome="overturned",
        jurors=(MARKET.address,),
        false=((b"f" * 32).hex(),),
        culprits=(VALIDATOR.address,),
        keys=(SIGNERS[0].public_key.hex(),),
    )
    signed = [sign_award(one, CHAIN, FALSE, award) for one in SIGNERS[1:]]
    return rule_escrow(FALSE, award, [act], signed), award


async def test_money_that_the_chain_holds(tmp_path: Path) -> None:
    born = int(time.time())
    async with running(tmp_path, born) as chain:
        binding = bind(SIGNERS[0], VALIDATOR, CHAIN)
        await chain.included(
            (CUSTOMER, deposit(MARKET.address, 5 * 10**19)),
            (VALIDATOR, bond(MARKET.address, 1_000, binding)),
        )
        height = (await chain.client.status()).height
        openings = [opening(task, height) for task in TASKS]
        await chain.included((MARKET, open_escrows(openings)))
        await chain.included((MARKET, appeal_escrow(FALSE, 10**15, height + 4_000)))
        assert (await chain.client.market()).escrows == 4 * 10**19 + 10**15
    async with running(tmp_path, born) as chain:  # killed, and nothing that was shown is lost
        assert (await chain.client.market()).escrows == 4 * 10**19 + 10**15
        assert (await chain.client.bond(MARKET.address, VALIDATOR.address)).amount == 1_000
        claim = claimed()
        both = {PAID: claim, BESIDE: claim}
        paying = [sign_claims(one, CHAIN, both) for one in SIGNERS[:2]]
        before = await chain.client.balance(WORKER.address)
        assert await chain.included((MARKET, settle_escrows(both, paying))) == []
        paid = payout(openings[0], MARKET.address, claim)
        assert await chain.client.balance(WORKER.address) == before + 2 * paid[WORKER.address]
        assert await chain.client.balance(openings[0].burn_address) == 12 * 10**18

        refusing = [sign_refund(one, CHAIN, BACK) for one in SIGNERS[:2]]
        racing = [sign_claim(one, CHAIN, BACK, claim) for one in SIGNERS[:2]]
        await chain.included((WORKER, refund_escrow(BACK, refusing)))
        (refusal,) = await chain.included(
            (MARKET, settle_escrow(BACK, claim, racing)),
        )
        view = await chain.client.escrow(BACK)
        assert view is not None
        assert view.status == "refunded"
        assert (
            refusal == f"rejected: claims[0].escrow_id: was refunded in block {view.closed_height}"
        )
        held = await chain.client.deposit(MARKET.address, CUSTOMER.address)
        assert held.amount == 2 * 10**19 - 10**15

        assert await chain.included((WORKER, two_faced())) == []
        assert (await chain.client.bond(MARKET.address, VALIDATOR.address)).amount == 500
        assert await chain.included((MARKET, two_faced())) == [
            "rejected: evidence: this act was slashed before"
        ]
        (refusal,) = await chain.included((WORKER, settle_escrow(FALSE, claim, racing)))
        assert refusal == f"rejected: claims[0].escrow_id: is disputed until block {height + 4_000}"
        ruling, award = overturned()
        assert await chain.included((WORKER, ruling)) == []
        view = await chain.client.escrow(FALSE)
        assert view is not None
        assert (view.status, view.award) == ("refunded", award_digest(award))
        assert (await chain.client.bond(MARKET.address, VALIDATOR.address)).amount == 250
        held = await chain.client.deposit(MARKET.address, CUSTOMER.address)
        assert held.amount == 3 * 10**19

        assert await chain.included((VALIDATOR, unbond(MARKET.address, 200))) == []
        assert (await chain.client.bond(MARKET.address, VALIDATOR.address)).amount == 50

        await chain.included((CUSTOMER, withdraw_all(MARKET.address)))
        await chain.included((WORKER, deposit(MARKET.address, 1)))
        await chain.included((WORKER, deposit(MARKET.address, 1)))
        assert await chain.included((CUSTOMER, withdraw_all(MARKET.address))) == []
        assert (await chain.client.deposit(MARKET.address, CUSTOMER.address)).amount == 0
        assert (await chain.client.market()).escrows == 0
