"""What the documentation of all modules has in common."""

from __future__ import annotations


class ModuleDocFragment:
    """How a module finds its fleet."""

    DOCUMENTATION = r"""
options:
  url:
    description:
      - The address of the fleet's API.
      - Without it, E(CORRAL_URL), or else the current context of C(corral login).
    type: str
  token:
    description:
      - An API key, or a token.
      - Without it, E(CORRAL_TOKEN). With O(url) it must be given one of both ways.
    type: str
  timeout:
    description: How many seconds to wait for each change. The change goes on after that.
    type: int
    default: 600
requirements:
  - Python 3.11 and Corral's Python library, where the module runs. That is mostly the controller, with
    C(connection=local) or C(delegate_to=localhost).
attributes:
  check_mode:
    description: Changes nothing, and says what would change.
    support: full
  diff_mode:
    description: Shows what was, or would be, changed.
    support: full
"""
