from node.printable import printable


def test_a_strangers_text_becomes_one_short_printable_line():
    assert printable("a\x1b[31mb\nc\u202ed\x00é", 100) == "a [31mb c d é"
    assert printable("x" * 10, 4) == "xxxx"
