"""Proofs of computation: what stands in the `proof` field of a compute result, and its check.

Read in this order: `envelope` is the canonical bytes of the field; `statement` is what a proof is
about; `systems` lists the proof systems and is the one way into them; `chain241` is the proof of
a whole synthetic chain. docs/proofs.md says what is proven, and what is not.
"""
