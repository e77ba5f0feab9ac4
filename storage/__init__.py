"""Everything a node keeps on its disk.

Read the modules in this order:

`store`      what a key-value store is: ordered byte keys, atomic batches, ranges.
`leveldb`    the store of a real node; `memory` is its twin for tests and simulations.
`database`   one writer over a store: staged changes are visible at once, durable after
             `flushed()`, and many waiters share one synced write.
`tables`     typed records in a database, each with its version; migrations of older ones.
`backup`     a consistent copy of a store in use, and its verified restoration.
`repair`     what can be read of a damaged store, when there is no backup.
`merkle`     SHA-256 trees: roots, paths, strict verification.
`artifacts`  big things, kept as files named by their SHA-256.
`files`      directories created, synced and locked so that a crash cannot undo it.
`errors`     what can go wrong, as one tree.
`__main__`   backup, restore and repair for whoever has stopped the node.

A node opens them inside out, and closing flushes whatever is still staged:

    with open_leveldb(directory / "state") as store:
        async with open_database(store) as database:
            tasks = Table(database, "tasks", TaskRecord)
            batch = Batch()
            tasks.put(batch, key, record)
            await database.commit(batch)

The package knows nothing of nodes, peers or devices and imports none of them.
"""
