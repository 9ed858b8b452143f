"""What a manual forbids."""


class BrokenRuleError(Exception):
    """A rule of a manual that an access broke."""

    def __init__(self, rule, section):
        super().__init__(f"{rule} ({section})")
        self.section = section


def require(holds, rule, section):
    """Raises BrokenRuleError unless the rule holds."""
    if not holds:
        raise BrokenRuleError(rule, section)
