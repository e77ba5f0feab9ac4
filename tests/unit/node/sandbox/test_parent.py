from node.sandbox.errors import LayerMissing


def test_a_missing_layer_tells_what_and_what_to_do():
    error = LayerMissing({"landlock": "Function not implemented"}, "use a newer kernel")
    assert str(error) == (
        "the sandbox cannot be built here (landlock: Function not implemented) (use a newer kernel)"
    )
