"""The existing chain's HTTP routes over a development chain, as a FastAPI application."""

from collections.abc import Mapping

import msgspec
from fastapi import APIRouter, FastAPI, HTTPException
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

from node.amounts import Amount
from node.l1.devchain.heldviews import bond_view, deposit_view, escrow_view, market_view
from node.l1.devchain.intake import HeldTxType, LooseTransaction, TxType
from node.l1.devchain.node import DevChain
from node.l1.devchain.state import Validator
from node.l1.devchain.views import leaderboard_view, performance_view, validator_view

LARGEST_HEIGHT = 2**63 - 1
"""Above it the existing chain's database fails, and the node with a plain 500."""

EVENT_HEADERS = {
    "cache-control": "no-cache",
    "connection": "keep-alive",
    "x-accel-buffering": "no",
}


def build_routes(chain: DevChain) -> FastAPI:
    """The application, without what `server` puts in front of it."""
    app = FastAPI(title="tmnode development chain", description="For development and tests only.")
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_credentials=True,
        allow_methods=["*"],
        allow_headers=["*"],
    )
    for router in (_chain_routes(chain), _tx_routes(chain), _staking_routes(chain), _extras()):
        app.include_router(router)
    if chain.config.profile.types:
        app.include_router(_held_routes(chain))
    return app


def sent_answer(tx_hash: str, problem: str) -> dict[str, str]:
    """What `/tx/send` says."""
    if problem:
        return {"tx_hash": tx_hash, "status": "rejected", "error": problem}
    return {"tx_hash": tx_hash, "status": "received"}


def _chain_routes(chain: DevChain) -> APIRouter:
    router = APIRouter()

    @router.get("/status")
    async def status() -> dict[str, object]:
        return {
            "height": chain.tip.height,
            "last_hash": chain.tip.block_hash,
            "network": chain.config.network,
            "mempool_size": chain.mempool.size,
            "epoch": chain.epoch,
        }

    @router.get("/block/{height}")
    async def block(height: int) -> Response:
        if abs(height) > LARGEST_HEIGHT:
            closing = {"connection": "close"}
            return PlainTextResponse("Internal Server Error", 500, headers=closing)
        content = chain.block(height)
        if content is None:
            raise HTTPException(404, "Block not found")
        return Response(content, media_type="application/json")

    @router.get("/balance/{address}")
    async def balance(address: str) -> dict[str, object]:
        account = chain.account(address)
        return {"address": address, "balance": str(account.balance), "nonce": account.nonce}

    @router.get("/nonce/{address}")
    async def nonce(address: str, pending: bool = True) -> dict[str, object]:
        first = chain.first_free_nonce(address) if pending else chain.account(address).nonce
        return {"address": address, "nonce": first, "pending": pending}

    return router


def _tx_routes(chain: DevChain) -> APIRouter:
    router = APIRouter()

    async def send(tx: LooseTransaction[TxType]) -> dict[str, str]:
        return sent_answer(*chain.submit(tx.exact()))

    async def send_any(tx: LooseTransaction[TxType | HeldTxType]) -> dict[str, str]:
        return sent_answer(*chain.submit(tx.exact()))

    router.post("/tx/send")(send_any if chain.config.profile.types else send)

    @router.get("/tx/{tx_hash}/receipt")
    async def receipt(tx_hash: str) -> Mapping[str, object]:
        found = chain.receipt(tx_hash)
        if found is None:
            raise HTTPException(404, "Transaction not found")
        return found

    @router.get("/events/stream")
    async def events() -> Response:
        frames = chain.events.frames()
        return StreamingResponse(frames, media_type="text/event-stream", headers=EVENT_HEADERS)

    return router


def _held_routes(chain: DevChain) -> APIRouter:
    """What only a chain of the `market` profile has."""
    router = APIRouter()

    @router.get("/deposit/{market}/{customer}")
    async def deposit(market: str, customer: str) -> Response:
        return _view(deposit_view(chain, market, customer))

    @router.get("/escrow/{escrow_id}")
    async def escrow(escrow_id: str) -> Response:
        found = escrow_view(chain, escrow_id)
        if found is None:
            raise HTTPException(404, "Escrow not found")
        return _view(found)

    @router.get("/bond/{market}/{address}")
    async def bond(market: str, address: str) -> Response:
        return _view(bond_view(chain, market, address))

    @router.get("/market")
    async def market() -> Response:
        return _view(market_view(chain))

    return router


def _view(view: msgspec.Struct) -> Response:
    content = msgspec.json.encode(view, enc_hook=Amount.to_wire)
    return Response(content, media_type="application/json")


def _staking_routes(chain: DevChain) -> APIRouter:
    router = APIRouter()

    @router.get("/validators")
    async def validators() -> dict[str, object]:
        views = [validator_view(one) for one in chain.validators]
        return {"epoch": chain.epoch, "validators": views}

    @router.get("/validators/leaderboard")
    async def leaderboard() -> dict[str, object]:
        return leaderboard_view(chain)

    @router.get("/validators/jailed")
    async def jailed() -> dict[str, object]:
        return {"current_height": chain.tip.height, "jailed_count": 0, "jailed_validators": []}

    @router.get("/validator/{address}")
    async def validator(address: str) -> dict[str, object]:
        return validator_view(_found(chain, address))

    @router.get("/validator/{address}/performance")
    async def performance(address: str) -> dict[str, object]:
        return performance_view(_found(chain, address))

    @router.get("/delegator/{address}/delegations")
    async def delegations(address: str) -> dict[str, object]:
        return {"delegator": address, "delegations": [], "total_delegated": 0}

    @router.get("/delegator/{address}/rewards")
    async def rewards(address: str) -> dict[str, object]:
        return {
            "delegator": address,
            "total_rewards": 0,
            "rewards_by_epoch": [],
            "current_epoch": chain.epoch,
        }

    @router.get("/delegator/{address}/unbonding")
    async def unbonding(address: str) -> dict[str, object]:
        return {
            "delegator": address,
            "total_unbonding": 0,
            "unbonding_count": 0,
            "unbonding_delegations": [],
            "current_height": chain.tip.height,
        }

    return router


def _extras() -> APIRouter:
    """What the existing node has besides: mostly to say that there is nothing."""
    router = APIRouter()

    @router.get("/")
    async def root() -> dict[str, str]:
        return {"message": "ComputeChain Node RPC", "version": "1.0"}

    @router.get("/snapshots")
    async def snapshots() -> list[object]:
        return []

    @router.get("/snapshots/{height}")
    async def snapshot(height: int) -> Response:
        raise HTTPException(404, f"Snapshot at height {height} not found")

    @router.get("/metrics")
    async def metrics() -> Response:
        # As a node answers that was installed by its own list of requirements.
        raise HTTPException(500, "Metrics error: No module named 'prometheus_client'")

    return router


def _found(chain: DevChain, address: str) -> Validator:
    for one in chain.validators:
        if one.address == address:
            return one
    raise HTTPException(404, "Validator not found")
