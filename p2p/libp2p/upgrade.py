"""From a socket to an authenticated, multiplexed connection: Noise, then Yamux, nothing else."""

from libp2p.abc import IRawConnection
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.protocol_muxer.exceptions import MultiselectClientError, MultiselectError
from libp2p.protocol_muxer.generic_selector import GenericMultistreamSelector
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.transport.exceptions import MuxerUpgradeFailure, SecurityUpgradeFailure
from libp2p.transport.upgrader import TransportUpgrader

from p2p.errors import BadPeerId
from p2p.identity import public_key_of
from p2p.libp2p.secure import SecureChannel
from p2p.libp2p.yamux.connection import Yamux
from p2p.limits import Limits


class Upgrader(TransportUpgrader):  # type: ignore[misc]
    """Proves who the peer is and sets up the multiplexer."""

    def __init__(self, key_pair: KeyPair, limits: Limits) -> None:
        noise = Noise(key_pair, noise_privkey=create_noise_key_pair().private_key)
        super().__init__({TProtocol(NOISE): noise}, {})
        self._limits = limits
        self._muxers: GenericMultistreamSelector = GenericMultistreamSelector()
        self._muxers.add_handler(TProtocol(YAMUX), Yamux)

    async def upgrade_security(
        self, raw_conn: IRawConnection, is_initiator: bool, peer_id: ID | None = None
    ) -> SecureChannel:
        """The peer's authenticated channel. Raises SecurityUpgradeFailure."""
        session = await super().upgrade_security(raw_conn, is_initiator, peer_id)
        try:
            public_key_of(str(session.get_remote_peer()))
        except BadPeerId as error:
            await session.close()
            raise SecurityUpgradeFailure("the peer's key is not Ed25519") from error
        return SecureChannel(session, raw_conn.stream)

    async def upgrade_connection(self, conn: SecureChannel, peer_id: ID) -> Yamux:
        """The multiplexed connection. Raises MuxerUpgradeFailure."""
        try:
            await self._muxers.select(
                conn, conn.is_initiator, int(self._limits.handshake_timeout_s)
            )
        except (MultiselectError, MultiselectClientError) as error:
            raise MuxerUpgradeFailure("no common multiplexer") from error
        conn.established()
        return Yamux(conn, peer_id, self._limits)
