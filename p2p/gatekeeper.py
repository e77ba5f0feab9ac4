"""What gossip a node sends, and what it lets in.

The same gate stands in both networks: an envelope is opened (size, layout, times, signature),
must be new, within the rate of its signer, and only then is its body decoded. Wherever an
envelope came from, nothing here raises anything but EnvelopeRefused.

Two envelopes of one signer with the same nonce are an equivocation: the first stands, the second
is refused, and the signer is cut off. So is one that signed too much within a second, which the
times in its envelopes tell; what is too much by the times of arrival may have waited on its way,
and is only dropped. A replay is nobody's fault but its sender's, and costs the signer nothing.
"""

from collections import Counter

from p2p.conduct import Conduct, Offence, own_pace
from p2p.envelope import Opened, Terms, fingerprint_of, open_envelope, seal
from p2p.errors import EnvelopeRefused, MalformedMessage, Refusal
from p2p.identity import Identity, peer_id_of
from p2p.limits import Limits
from p2p.messages import Message, decode, encode
from p2p.network import Clock, Received
from p2p.rates import RateTable, Tally
from p2p.seen import ReplayCache, Sight

_FORGERIES = frozenset({Refusal.LAYOUT, Refusal.ORIGIN, Refusal.SIGNATURE})
"""What nobody signs by mistake, whoever's envelope it was."""


class Gatekeeper:
    """Seals what one node publishes and judges what reaches it. `clock`: milliseconds of 1970."""

    def __init__(
        self,
        identity: Identity,
        chain_id: str,
        limits: Limits,
        clock: Clock,
        counters: Counter[str],
        conduct: Conduct,
    ) -> None:
        self._identity = identity
        self._clock = clock
        self._lifetime_ms = round(limits.envelope_lifetime_s * 1000)
        self._terms = Terms(
            chain_id=chain_id,
            max_bytes=limits.max_gossip_bytes,
            max_lifetime_ms=round(limits.envelope_max_lifetime_s * 1000),
            clock_skew_ms=round(limits.clock_skew_s * 1000),
        )
        self._replays = ReplayCache(limits.replays_remembered)
        self._rates = RateTable(
            limits.signer_rate_per_s, limits.signer_burst, limits.signers_tracked
        )
        self._signed = Tally(limits.signed_per_s, limits.signers_tracked)
        self._own_pace = own_pace(limits.signer_rate_per_s, limits.signer_burst)
        self._counters = counters
        self._conduct = conduct

    async def pace(self) -> None:
        """Wait until one more message of ours is within the rate that others let in."""
        await self._own_pace.wait()

    def seal(self, topic: str, message: Message) -> bytes:
        """The signed envelope of `message`. Raises MessageTooLarge."""
        return seal(
            self._identity,
            self._terms,
            topic,
            encode(message),
            now_ms=self._clock(),
            lifetime_ms=self._lifetime_ms,
        )

    def admit(self, topic: str, data: bytes, origin: bytes | None = None) -> Received:
        """The message of a good envelope. Raises EnvelopeRefused and counts why.

        `origin`: the key that must have signed it, where the network below names one.
        """
        try:
            return self._admit(topic, data, origin)
        except EnvelopeRefused as refusal:
            self._counters[f"gossip_refused_{refusal.reason}"] += 1
            if origin is not None and refusal.reason in _FORGERIES:
                self._conduct.blame(origin, Offence.FORGERY)
            raise

    def _admit(self, topic: str, data: bytes, origin: bytes | None) -> Received:
        now_ms = self._clock()
        opened = open_envelope(data, self._terms, topic, now_ms=now_ms)
        if origin is not None and origin != opened.signer:
            raise EnvelopeRefused(Refusal.ORIGIN)
        if self._conduct.refuses(opened.signer):
            raise EnvelopeRefused(Refusal.REFUSED)
        self._check_new(opened, topic, now_ms)
        try:
            return Received(peer_id_of(opened.signer), decode(opened.body))
        except MalformedMessage as error:
            raise EnvelopeRefused(Refusal.MESSAGE) from error

    def _check_new(self, opened: Opened, topic: str, now_ms: int) -> None:
        key = opened.signer + opened.nonce
        fingerprint = fingerprint_of(opened, self._terms, topic)
        self._replays.forget_until(now_ms - self._terms.max_lifetime_ms - self._terms.clock_skew_ms)
        sight = self._replays.look(key, fingerprint)
        if sight is Sight.SAME:
            raise EnvelopeRefused(Refusal.REPLAY)
        if sight is Sight.OTHER:
            self._conduct.blame(opened.signer, Offence.EQUIVOCATION)
            raise EnvelopeRefused(Refusal.EQUIVOCATION)
        if self._replays.is_too_old(opened.issued_at_ms):
            raise EnvelopeRefused(Refusal.STALE)
        if not self._rates.take(opened.signer, now_ms / 1000):
            raise EnvelopeRefused(Refusal.RATE)
        self._replays.add(key, fingerprint, opened.issued_at_ms)
        if not self._signed.add(opened.signer, opened.issued_at_ms / 1000):
            self._conduct.blame(opened.signer, Offence.SIGNED_FLOOD)
            raise EnvelopeRefused(Refusal.RATE)
