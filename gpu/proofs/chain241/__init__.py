"""Proof that X_T is what T steps X_{t+1} = X_t D_t X_t + u_t v_t^T over F_241 lead to.

Sum-check (Lund, Fortnow, Karloff, Nisan 1992) for matrix products (Thaler 2013), chained as in
Goldwasser, Kalai, Rothblum (2008), made non-interactive after Fiat and Shamir. About one kilobyte
a step; nothing is committed to but X_T.

Read in this order: `specification` has every constant; `transcript` makes the challenges;
`arithmetic` says what is computed in E = F_241[x] / (x^16 - 7), by `integers` (NumPy, with
`keystream`) or `native` (C++), of which `choice` takes the best; `verifier`, then `prover`, which
needs the `iterates`; `cost` says what both take; `system` connects all this with statements.
"""
