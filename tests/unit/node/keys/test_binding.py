"""Two keys that vouch for each other, for one chain, in one form."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.keys import BindingInvalid, KeyBinding, bind, verify_binding
from node.l1.keys import CURVE_ORDER, AccountKey
from p2p.identity import Identity

CHAIN = "cpc-devnet-1"
ALICE = Identity.from_seed(bytes([1] * 32)), AccountKey(bytes([2] * 32))
BOB = Identity.from_seed(bytes([3] * 32)), AccountKey(bytes([4] * 32))
BINDING = bind(*ALICE, CHAIN)
ED25519_SIGNATURE = (
    "56a37c8e61cd4c645b2a4218f96916a718478587822d5e4f3c7f4f6e9386acd5"
    "adac4797ef505162fae46b90ead72475434d7b2388765c3e0e11588fe8f7250f"
)
ACCOUNT_SIGNATURE = (
    "a8f7a8bfb8b430abd7a3cbc97ab19288bc16901cb650c59329a1dbc884a34877"
    "3c6ca6427ab8bc1ebea7832963d1cce9222436cd72fdcaf9b47ae1c2e5e111e4"
)
FIELDS = KeyBinding.__struct_fields__


def test_a_binding_gives_the_account_s_address() -> None:
    assert verify_binding(BINDING, CHAIN) == ALICE[1].address


def test_a_binding_always_has_the_same_bytes() -> None:
    assert bind(*ALICE, CHAIN) == BINDING
    assert BINDING.ed25519_signature.hex() == ED25519_SIGNATURE
    assert BINDING.account_signature.hex() == ACCOUNT_SIGNATURE


def test_a_binding_is_for_one_chain() -> None:
    with pytest.raises(BindingInvalid):
        verify_binding(BINDING, "cpc-devnet-2")


@given(field=st.sampled_from(FIELDS), place=st.integers(0, 63), change=st.integers(1, 255))
def test_every_changed_byte_is_refused(field: str, place: int, change: int) -> None:
    data = bytearray(getattr(BINDING, field))
    data[place % len(data)] ^= change
    with pytest.raises(BindingInvalid):
        verify_binding(msgspec.structs.replace(BINDING, **{field: bytes(data)}), CHAIN)


@given(field=st.sampled_from(FIELDS), data=st.binary(max_size=130))
def test_other_bytes_of_any_length_are_refused(field: str, data: bytes) -> None:
    with pytest.raises(BindingInvalid):
        verify_binding(msgspec.structs.replace(BINDING, **{field: data}), CHAIN)


@pytest.mark.parametrize("field", FIELDS)
def test_parts_of_two_bindings_do_not_make_one(field: str) -> None:
    other = bind(*BOB, CHAIN)
    with pytest.raises(BindingInvalid):
        verify_binding(msgspec.structs.replace(BINDING, **{field: getattr(other, field)}), CHAIN)


def test_one_s_own_account_cannot_be_put_under_another_s_peer_key() -> None:
    mallory = bind(BOB[0], ALICE[1], CHAIN)
    stolen = msgspec.structs.replace(BINDING, account_signature=mallory.account_signature)
    with pytest.raises(BindingInvalid, match="did not sign the peer's key"):
        verify_binding(stolen, CHAIN)


def test_the_signature_s_other_form_is_refused() -> None:
    r, s = BINDING.account_signature[:32], BINDING.account_signature[32:]
    high = (CURVE_ORDER - int.from_bytes(s)).to_bytes(32)
    with pytest.raises(BindingInvalid):
        verify_binding(msgspec.structs.replace(BINDING, account_signature=r + high), CHAIN)
