"""Proofs of computation: the envelope that a `ComputeResult` carries in its `proof` field."""
