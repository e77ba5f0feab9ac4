"""The market's rules: what a task may do, what it costs, who may check it.

Everything here is synchronous and takes clock and randomness as arguments; `tasks` holds the state
machine, `quote` the price, `draw` the choice of validators, `views` what a customer is shown.
"""
