"""`tmnode wallet payout`."""

ANSWER = {
    "address": "cpc1a",
    "owed_cpc": "0.5",
    "threshold_cpc": None,
    "least_threshold_cpc": "0.1",
    "most_threshold_cpc": "9.0",
    "pay_by": 1_700_000_000,
    "fee_cpc": "0.2",
    "on_the_way": [],
}


def test_what_is_asked_is_sent(terminal, door) -> None:
    door.answer("POST /account/payout", ANSWER)
    for arguments in ([], ["--threshold", "2.0"], ["--threshold", "default"], ["--now"]):
        assert terminal.json("wallet", "payout", *arguments) == ANSWER
    bodies = [body for _, _, body in door.requests]
    assert bodies == [{}, {"threshold": "2.0"}, {"threshold": "0"}, {"now": True}]


def test_a_person_sees_when_and_how_much(terminal, door) -> None:
    sent = {"amount_cpc": "0.3", "tx_hash": "0xab"}
    door.answer("POST /account/payout", ANSWER)
    assert "paid at          what the network says\n" in terminal.run("wallet", "payout").stdout
    door.answers.clear()
    door.answer(
        "POST /account/payout",
        {**ANSWER, "threshold_cpc": "2.0", "pay_by": None, "on_the_way": [sent]},
    )
    shown = terminal.run("wallet", "payout", "--now").stdout
    assert "paid at          2.0 CPC\non the way       0.3 CPC by 0xab\n" in shown
