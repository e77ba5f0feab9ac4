"""The way of outputs: worker → orchestrator → market, each hop checking the digests.

Small outputs travel inside messages. Others, and proofs that their results have by digest, are
fetched in bulk into the orchestrator's artifact store before it reports, so that the market never
depends on a worker that was already paid.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO

from node.offload import Offload
from node.verification.evidence import ProofRef
from node.verification.proofs import artifact_of
from node.verification.statements import Judgement, Manifest, OutputRef
from p2p.errors import P2PError, RequestRefused
from p2p.network import BulkSource, Network
from storage.artifacts import ArtifactHasher, ArtifactRef, ArtifactStore
from storage.errors import ArtifactFailed

OUTPUT = "output"
"""Bulk transfer of an output that an orchestrator holds; argument: its SHA-256."""
FETCH_TIMEOUT_S = 300.0
"""For one output of a result."""
CHUNK_BYTES = 1 << 20


class OutputMissing(Exception):
    """An output could not be had, or its bytes are not those of the manifest."""


class OutputShelf:
    """Outputs held for others to fetch by their digest."""

    def __init__(self, network: Network, artifacts: ArtifactStore, offload: Offload) -> None:
        self._network = network
        self._artifacts = artifacts
        self._offload = offload

    def serve(self) -> None:
        """Let peers fetch outputs by SHA-256."""
        self._network.serve_bulk(OUTPUT, self._on_fetch)

    async def take(self, manifest: Manifest, inline: Sequence[bytes]) -> None:
        """Store outputs that came inside a message; raises OutputMissing if they are others."""
        check_inline(manifest, inline)
        for data in inline:
            with _disk():
                await self._offload(partial(self._artifacts.put, data))

    async def fetch(
        self, peer_id: str, name: str, manifest: Manifest, arguments: Sequence[bytes]
    ) -> None:
        """Fetch all outputs as bulk transfers `name`, one argument each; raises OutputMissing."""
        for output, argument in zip(manifest.outputs, arguments, strict=True):
            if not self._artifacts.has(output.sha256.hex()):
                await self._fetch_one(peer_id, name, argument, output.name, output)

    async def fetch_proof(self, peer_id: str, name: str, proof: ProofRef, argument: bytes) -> None:
        """Fetch a proof that its result has by digest; raises OutputMissing."""
        if not self._artifacts.has(proof.sha256.hex()):
            await self._fetch_one(peer_id, name, argument, "the proof", proof)

    async def drop(self, one: Judgement) -> None:
        """Delete the outputs of an attempt, and its proof, which nobody will fetch any more."""
        proof = artifact_of(one.draw, one.result)
        digests = [output.sha256 for output in one.manifest.outputs]
        for digest in (*digests, *([proof.sha256] if proof else [])):
            await self._offload(partial(self._artifacts.delete, digest.hex()))

    async def _fetch_one(
        self, peer_id: str, name: str, argument: bytes, what: str, piece: OutputRef | ProofRef
    ) -> None:
        with _disk(), self._artifacts.open_sink() as file:

            async def sink(chunk: bytes) -> None:
                await self._offload(partial(file.write, chunk))

            try:
                await self._network.fetch(
                    peer_id,
                    name,
                    argument,
                    sink,
                    max_bytes=piece.size,
                    timeout_s=FETCH_TIMEOUT_S,
                )
            except P2PError as error:
                raise OutputMissing(str(error)) from error
            if not _is(file.ref(), piece):
                raise OutputMissing(f"{what} has other bytes than its result says")
            await self._offload(file.commit)

    async def _on_fetch(self, _sender: str, argument: bytes) -> BulkSource:
        name = argument.hex()
        if len(argument) != 32 or not self._artifacts.has(name):
            raise RequestRefused("missing", "no such output here")
        path = self._artifacts.path(name)
        chunks = file_chunks(lambda: path.open("rb"), self._offload)
        return BulkSource(size=path.stat().st_size, sha256=argument, chunks=chunks)


@contextmanager
def _disk() -> Iterator[None]:
    """A disk that refuses an output is one more reason not to have it."""
    try:
        yield
    except ArtifactFailed as error:
        raise OutputMissing(str(error)) from error


def check_inline(manifest: Manifest, inline: Sequence[bytes]) -> None:
    """Raise OutputMissing unless these are the manifest's outputs, in its order."""
    if len(inline) != len(manifest.outputs):
        raise OutputMissing("the outputs are not complete")
    for output, data in zip(manifest.outputs, inline, strict=True):
        hasher = ArtifactHasher()
        hasher.update(data)
        if hasher.ref() != reference(output):
            raise OutputMissing(f"{output.name} has other bytes than its manifest says")


def _is(ref: ArtifactRef, piece: OutputRef | ProofRef) -> bool:
    if isinstance(piece, OutputRef):
        return ref == reference(piece)
    return (ref.sha256, ref.size) == (piece.sha256, piece.size)


def reference(output: OutputRef) -> ArtifactRef:
    """The artifact that an output names."""
    return ArtifactRef(output.sha256, output.size, output.chunk_root)


async def file_chunks(open_file: Callable[[], BinaryIO], offload: Offload) -> AsyncIterator[bytes]:
    """A file's bytes, read off the loop."""
    with open_file() as file:
        while chunk := await offload(partial(file.read, CHUNK_BYTES)):
            yield chunk
