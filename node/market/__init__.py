"""The market's rules: what a task may do, what it costs, who checks it, who is paid.

Everything here is synchronous and takes clock and randomness as arguments. Pure rules: `phases` are
where a task can be, and which of them are ends, `tasks` is the state machine, `seating` the choice
of validators, `judging` what a report is held to, `pay` the weights, `quote` the price, `outcomes`
the places on the chain, `showing` what a customer sees.
Over the database: `board` keeps the tasks, `snapshots` those who can be drawn, `earlier` the
attempts that were not valid; `leases` and `results` take the steps and `lifecycle` lets time pass;
`service` is what a customer can do. Disputes: `appeals` opens and decides them over `appealbook`,
`juries` draws who judges, `bars` has who is not drawn for a while, `desk` is the door to them.
"""
