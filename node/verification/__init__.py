"""What is claimed, who checked it, and how anybody can check it again.

`statements` are the signed claims (draw, compute result, verdict), `challenge` the joint seed,
`quorum` counts verdicts, `batches` binds many results to one transaction on the L1, and `receipt`
carries one answer from the customer's task down to the block header.
"""
