"""Protocol negotiation on streams, and the protocol by which libp2p nodes identify themselves.

Identify is served, so that other implementations recognise us. We ask nobody to
identify itself and store nothing strangers say about their addresses: a peer id is proved by the
handshake, and addresses come from whoever wants the peer.
"""

import logging
from collections.abc import Sequence

import trio
from libp2p.abc import INetConn, INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify_push.identify_push import ID_PUSH
from libp2p.network.exceptions import SwarmException
from libp2p.peer.id import ID
from libp2p.protocol_muxer.exceptions import MultiselectClientError
from multiaddr import Multiaddr

from p2p.libp2p.hardening import BoundedCommunicator, end_stream
from p2p.libp2p.swarm import GuardedSwarm
from p2p.limits import Limits

logger = logging.getLogger(__name__)


class GuardedHost(BasicHost):  # type: ignore[misc]
    """A libp2p host that survives whatever happens on a stream."""

    def __init__(self, swarm: GuardedSwarm, addresses: Sequence[str], limits: Limits) -> None:
        self._listening = [Multiaddr(address) for address in addresses]
        self._stream_open_timeout_s = limits.stream_open_timeout_s
        super().__init__(swarm, disable_identify_address_discovery=True)
        self.remove_stream_handler(ID_PUSH)

    def get_transport_addrs(self) -> list[Multiaddr]:
        """Where we listen."""
        return list(self._listening)

    async def new_stream(self, peer_id: ID, protocol_ids: Sequence[TProtocol]) -> INetStream:
        """A stream on the live connection to the peer. Raises SwarmException."""
        stream = await self._network.new_stream(peer_id)
        try:
            with trio.fail_after(self._stream_open_timeout_s):
                chosen = await self.multiselect_client.select_one_of(
                    protocol_ids, BoundedCommunicator(stream), self.negotiate_timeout
                )
        except (MultiselectClientError, trio.TooSlowError) as error:
            await end_stream(stream)
            raise SwarmException(f"{peer_id} does not open {protocol_ids}") from error
        except BaseException:
            await end_stream(stream)
            raise
        stream.set_protocol(chosen)
        return stream

    async def _swarm_stream_handler(self, net_stream: INetStream) -> None:
        try:
            protocol, handler = await self.multiselect.negotiate(
                BoundedCommunicator(net_stream), round(self._stream_open_timeout_s)
            )
            net_stream.set_protocol(protocol)
            if handler is not None:
                await handler(net_stream)
        except Exception as error:
            # The outermost guard of a stream that a stranger opened: the stream ends, no more.
            logger.debug("stream of %s: %r", net_stream.muxed_conn.peer_id, error)
        finally:
            await end_stream(net_stream)

    def _schedule_identify(self, peer_id: ID, *, reason: str) -> None:
        """Ask nobody. (libp2p would do it in a system task, whose errors end the process.)"""

    async def _on_notifee_connected(self, conn: INetConn) -> None:
        """Ask nobody."""
