from node.bench.proofs import bench_proofs


def test_every_size_and_the_task_are_measured() -> None:
    result = bench_proofs(1, (16, 3), sizes=((16, 2), (20, 1)))
    rows = {row.metric: row for row in result.rows}
    assert rows["n = 16, proof, a step"].value == 96 * 4 + 48
    assert rows["n = 20, proof, a step"].value == 96 * 5 + 48
    assert rows["matrix_size 16, iterations 3, proof"].value == 3 * (96 * 4 + 48)
    prover = rows["n = 16, prover, a step"]
    assert prover.peer_value == rows["n = 16, chain, a step"].value
    assert prover.ratio == prover.peer_value / prover.value
    assert sum("verifier" in metric for metric in rows) == 4
