"""Noise packets, once libp2p has done the handshake.

Each packet is a u16 length and a ciphertext of at most 65535 bytes. libp2p reads the length and
the body with a call to the socket each and writes one packet at a time; here one read gives all
packets that arrived and one write takes many.
"""

from typing import Any

from libp2p.abc import ISecureConn
from libp2p.security.secure_session import SecureSession

from p2p.libp2p.sockets import Carrier

_TAG_BYTES = 16
MAX_PLAIN_BYTES = 65_535 - _TAG_BYTES


class SecureChannel(ISecureConn):  # type: ignore[misc]
    """An authenticated, encrypted connection to the peer that `session`'s handshake proved."""

    def __init__(self, session: SecureSession, carrier: Carrier) -> None:
        self.is_initiator: bool = session.is_initiator
        self._session = session
        self._carrier = carrier
        self._noise: Any = session.conn.noise_state
        self._cipher = bytearray()
        self._plain = b""

    async def receive(self) -> bytes:
        """Whatever has been decrypted, b"" at the end.

        Raises ConnectionClosedError, and Noise's own errors for a packet that is not authentic.
        """
        while not self._plain:
            data = await self._carrier.receive()
            if not data:
                return b""
            self._cipher += data
            self._plain = self._decrypt()
        plain, self._plain = self._plain, b""
        return plain

    async def send(self, data: bytes) -> None:
        """Encrypt and send all of it with one write. Raises ConnectionClosedError."""
        packets: list[bytes] = []
        for start in range(0, len(data), MAX_PLAIN_BYTES):
            cipher = self._noise.encrypt(data[start : start + MAX_PLAIN_BYTES])
            packets += (len(cipher).to_bytes(2), cipher)
        await self._carrier.write(b"".join(packets))

    def established(self) -> None:
        """The handshakes are over."""
        self._carrier.established()

    def _decrypt(self) -> bytes:
        plain = []
        start = 0
        while len(self._cipher) - start >= 2:
            end = start + 2 + int.from_bytes(self._cipher[start : start + 2])
            if len(self._cipher) < end:
                break
            plain.append(bytes(self._noise.decrypt(bytes(self._cipher[start + 2 : end]))))
            start = end
        del self._cipher[:start]
        return b"".join(plain)

    # What libp2p asks of a secure connection while it negotiates the multiplexer.

    async def read(self, n: int | None = None) -> bytes:
        data = await self.receive()
        if n is not None and len(data) > n:
            data, self._plain = data[:n], data[n:]
        return data

    async def write(self, data: bytes) -> None:
        await self.send(data)

    async def close(self) -> None:
        await self._carrier.close()

    def get_local_peer(self) -> Any:
        return self._session.get_local_peer()

    def get_local_private_key(self) -> Any:
        return self._session.get_local_private_key()

    def get_remote_peer(self) -> Any:
        return self._session.get_remote_peer()

    def get_remote_public_key(self) -> Any:
        return self._session.get_remote_public_key()

    def get_remote_address(self) -> tuple[str, int] | None:
        return self._carrier.get_remote_address()

    def get_transport_addresses(self) -> Any:
        return self._session.get_transport_addresses()

    def get_connection_type(self) -> Any:
        return self._session.get_connection_type()
