"""What is claimed, who checked it, and how anybody can check it again.

`snapshots` are those whom a market can draw, `draws` whom it drew, and `statements` the other
signed claims (compute result, verdict); `challenge` is the joint seed, `quorum` counts verdicts and
`standing` what they mean for a worker; `batches` binds many results to one transaction on the L1;
`evidence` is what a result's proof field has to have, and `proofs` verifies it where it is a proof.
`receipt` carries one answer from the customer's task down to the block header, `anchors` puts it
together, `receipt_check` verifies it and `receipt_proofs` the proofs in it. `onchain` is a chain
that does so for results by itself, with the proofs that a transaction holds (`inline`), and for the
evidence of a slash (`offences`).
"""
