from node.sandbox.errors import LayerMissing
from node.sandbox.parent import printable


def test_a_strangers_text_becomes_one_short_printable_line():
    assert printable("a\x1b[31mb\nc\u202ed\x00é", 100) == "a [31mb c d é"
    assert printable("x" * 10, 4) == "xxxx"


def test_a_missing_layer_tells_what_and_what_to_do():
    error = LayerMissing({"landlock": "Function not implemented"}, "use a newer kernel")
    assert str(error) == (
        "the sandbox cannot be built here (landlock: Function not implemented) (use a newer kernel)"
    )
