"""What survives the process, what does not, and what may not change under a chain."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from node.l1.devchain.config import (
    DevChainConfig,
    Genesis,
    GenesisValidator,
    check_config,
    read_genesis,
)
from node.l1.devchain.receipts import MAX_RECEIPTS, Receipts
from node.l1.errors import BadGenesis, OtherChain
from node.l1.escrow import MarketParameters
from node.l1.keys import AccountKey
from node.l1.transactions import transfer, tx_hash
from node.verification.onchain import MarketProfile

Key = Callable[[int], AccountKey]


async def test_a_restart_keeps_the_chain_and_forgets_the_pool(
    make_world: Callable[..., Any], key: Key
) -> None:
    world = make_world(alloc={key(1).address: 10**40, "any é text": 7})
    kept, lost = (transfer(key(2).address, 10**30).signed(key(1), nonce) for nonce in (0, 1))
    async with world.running():
        await world.mine()
        await world.client.send(kept)
        await world.mine()
        await world.client.send(lost)
        before, blocks = await world.client.status(), world.blocks()
        root = world.chain._chain.state.root({})
    async with world.running():
        after = await world.client.status()
        assert msgspec.structs.replace(before, mempool_size=0) == after
        assert world.blocks() == blocks
        assert world.chain._chain.state.root({}) == root
        assert await world.client.balance(key(2).address) == 10**30
        assert await world.client.balance("any é text") == 7
        assert await world.client.nonce(key(1).address, pending=True) == 1
        assert world.chain.receipt(tx_hash(lost)) is None
        receipt = world.chain.receipt(tx_hash(kept))
        assert (receipt["status"], receipt["block_height"]) == ("confirmed", 1)
        assert "confirmations" not in receipt
        await world.mine()
        assert world.chain.tip.height == 2
        (validator,) = world.chain.validators
        assert (validator.blocks_proposed, validator.last_block_height) == (3, 2)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("chain_id", {"chain_id": "cpc-other"}),
        ("network", {"network": "testnet"}),
        ("block_time_ms", {"block_time_s": 1.0}),
        ("genesis", {"genesis": Genesis(alloc={"x": 1}, genesis_time=1)}),
        ("proposer", {"proposer": AccountKey(b"\x05" * 32)}),
        ("profile", {"profile": MarketProfile("cpc-devnet-1")}),
    ],
)
async def test_another_chain_in_the_directory(
    make_world: Callable[..., Any], field: str, change: dict[str, Any]
) -> None:
    world = make_world()
    async with world.running():
        await world.mine()
    world.config = msgspec.structs.replace(world.config, **change)
    with pytest.raises(OtherChain) as caught:
        async with world.running():
            pass
    assert caught.value.field == field


def with_genesis(config: DevChainConfig, **changes: Any) -> DevChainConfig:
    genesis = msgspec.structs.replace(config.genesis, **changes)
    return msgspec.structs.replace(config, genesis=genesis)


def test_configurations_that_make_no_chain(make_world: Callable[..., Any], key: Key) -> None:
    config: DevChainConfig = make_world().config
    check_config(config)
    one, other = (
        GenesisValidator(key(number).validator_address, key(number).public_key.hex(), 1)
        for number in (99, 1)
    )
    check_config(with_genesis(config, validators=(one, other)))
    asleep = msgspec.structs.replace(one, is_active=False)
    bad = {
        "genesis_time": with_genesis(config, genesis_time=0),
        "alloc": with_genesis(config, alloc={"x": -1}),
        "block_time_s": msgspec.structs.replace(config, block_time_s=0.01),
    }
    check_config(with_genesis(config, alloc={"x": 10**40}))
    bad["market: a chain of the profile upstream"] = with_genesis(config, market=MarketParameters())
    holding = msgspec.structs.replace(config, profile=MarketProfile("cpc-devnet-1"))
    check_config(holding)
    for name in MarketParameters.__struct_fields__:
        for number in (0, -1, 2**63):
            parameters = MarketParameters(**{name: number})
            with pytest.raises(BadGenesis, match=f"^market.{name}: must be "):
                check_config(with_genesis(holding, market=parameters))
    bad["market.slash_bp"] = with_genesis(holding, market=MarketParameters(slash_bp=10_001))
    bad["alloc: is more"] = with_genesis(holding, alloc={"x": 10**36, "y": 1})
    validators = [
        (other,),
        (asleep, other),
        (msgspec.structs.replace(one, pub_key=other.pub_key),),
        (msgspec.structs.replace(one, pub_key="zz"),),
        (msgspec.structs.replace(one, power=0),),
    ]
    for field, wrong in bad.items():
        with pytest.raises(BadGenesis, match=field):
            check_config(wrong)
    for several in validators:
        with pytest.raises(BadGenesis, match="validators"):
            check_config(with_genesis(config, validators=several))


def test_a_genesis_file_is_the_struct_as_json(key: Key) -> None:
    text = (
        '{"alloc": {"cpc19pup6qpkj492wau7jrnqlglrlskzuvs6ctfq9f": 1000000000000000000000000000},'
        ' "validators": [{"address": "cpcvalcons1", "pub_key": "02", "power": 5,'
        ' "is_active": true}], "genesis_time": 1795344306}'
    )
    genesis = msgspec.json.decode(text, type=Genesis)
    assert list(genesis.alloc.values()) == [10**27]
    assert genesis.validators[0].power == 5


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"market": {"unbonding_blocs": 5}}', r"market\.unbonding_blocs: is not known here"),
        ('{"market": {"slash_bp": "5000"}}', r"market\.slash_bp: Expected `int`"),
        ('{"market": {"slash_bp": 5.5}}', r"market\.slash_bp: Expected `int`"),
        ('{"market": {"slash_bp": true}}', r"market\.slash_bp: Expected `int`"),
        ('{"market": null}', r"market: Expected `object`"),
        ('{"markets": {}}', r"markets: is not known here"),
        ('{"alloc": {}}', r"genesis_time: is missing"),
        ('{"validators": [{"adress": "x"}]}', r"validators\[0\]\.adress: is not known here"),
        ("[]", r"genesis: Expected `object`"),
        ("{", r"genesis: is no JSON"),
        ('{"\udcff": 1}', r"genesis: is no JSON"),
    ],
)
def test_what_is_wrong_in_a_genesis_file_is_named(text: str, problem: str) -> None:
    with pytest.raises(BadGenesis, match=f"^{problem}"):
        read_genesis(text.encode("utf-8", "surrogateescape"))


async def test_usual_parameters_are_the_same_said_or_left_out(make_market_world: Any) -> None:
    world = make_market_world()
    usual = with_genesis(world.config, market=msgspec.UNSET)
    world.config = usual
    async with world.running():
        await world.mine()
    stated = MarketParameters()
    for parameters in (stated, msgspec.UNSET, stated):
        world.config = with_genesis(usual, market=parameters)
        async with world.running():
            await world.mine()
    world.config = with_genesis(usual, market=msgspec.structs.replace(stated, slash_bp=1))
    with pytest.raises(OtherChain, match="another genesis"):
        async with world.running():
            pass


def test_a_configuration_does_not_print_its_secret(make_world: Callable[..., Any]) -> None:
    config: DevChainConfig = make_world().config
    assert config.proposer.private.hex() not in repr(config)


def test_the_oldest_tenth_of_the_receipts_is_forgotten() -> None:
    receipts = Receipts()
    for number in range(MAX_RECEIPTS):
        receipts.pending(f"{number}", 0.0)
    assert receipts.get("0") is not None
    receipts.pending("one more", 0.0)
    tenth = MAX_RECEIPTS // 10
    assert receipts.get(f"{tenth - 1}") is None
    assert receipts.get(f"{tenth}") is not None
    assert receipts.get("one more") is not None
