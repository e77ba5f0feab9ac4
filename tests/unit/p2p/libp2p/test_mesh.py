from collections import Counter

from libp2p.pubsub.pb import rpc_pb2

from p2p.libp2p.mesh import BoundedGossipSub

MIB = 1024 * 1024


def message(number: int, size: int = 100) -> rpc_pb2.Message:
    return rpc_pb2.Message(
        data=bytes(size), topicIDs=["topic"], from_id=b"me", seqno=number.to_bytes(4)
    )


def test_recent_messages_are_bounded_by_number_and_by_size():
    for size, most in ((100, 4096), (64_000, 16 * MIB // 64_000)):
        recent = BoundedGossipSub(Counter()).mcache
        for number in range(5000):
            recent.put(message(number, size))
        assert 0.99 * most < len(recent.msgs) <= most


def test_heartbeats_make_room_for_new_ones():
    recent = BoundedGossipSub(Counter()).mcache
    for number in range(400):
        recent.put(message(number, 64_000))
    for _ in range(recent.history_size):
        recent.shift()
    assert not recent.msgs
    recent.put(message(1, 64_000))
    assert recent.get(b"me" + (1).to_bytes(4)) is not None
