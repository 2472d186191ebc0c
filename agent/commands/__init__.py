"""From a hypothesis to an order: a pure policy, events and the time in, effects out; and the audit log."""
