"""Replacing functions of the product by altered ones that stand behind a switch."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from switches import Switches

Altered = Callable[..., Any]
"""Takes the original function, then its arguments."""


class Patcher:
    """Puts altered functions in the place of the product's own."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches

    def method(self, owner: type, name: str, switch: str, altered: Altered) -> None:
        """Alter a method while the switch is on."""
        setattr(owner, name, self._behind(switch, getattr(owner, name), altered))

    def function(self, original: Callable[..., Any], switch: str, altered: Altered) -> None:
        """Alter a function in every module that has imported it."""
        wrapped, name = self._behind(switch, original, altered), original.__name__
        for module in list(sys.modules.values()):
            if getattr(module, name, None) is original:
                setattr(module, name, wrapped)

    def _behind(self, switch: str, original: Callable[..., Any], altered: Altered) -> Any:
        @wraps(original)
        def either(*arguments: Any, **named: Any) -> Any:
            if self._switches.value(switch):
                return altered(original, *arguments, **named)
            return original(*arguments, **named)

        return either
