"""The HTTP doors of a node: REST and JSON-RPC over one table of commands.

Read the modules in this order:

`commands`     the table: every command with its parameters, route, method name and function.
`params`       what the commands take; `answers` what they give back.
`service`      what the commands work on: the node, its market, who may spend.
`errors`       the only place where an error becomes an HTTP status or a JSON-RPC code.
`body`         hostile bytes: media type, size, time, strict JSON.
`callers`      whose money a request may spend; `accounts` API keys (`key_request` is what is signed
               for one, `addresses` whose it is) and `spending` their limits.
`rest`, `rpc`  the two doors; `downloads` byte ranges of artifacts.
`openapi`      what the doors say of themselves, with `openapi_parts`; `docs_page` for people.
`events`       server-sent events; `observed` the id, the log line and the numbers of a request.
`connections`  one HTTP/1.1 connection with its time limits; `gate` how many requests at once;
`server`       the port, and the graceful stop.

`commands`, `params`, `answers`, `errors` and `events` import neither FastAPI nor Hypercorn, so
that the command line can use them; import the rest where a server is started.
"""
