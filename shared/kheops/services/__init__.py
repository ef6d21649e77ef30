"""Use cases: they ask the policy, then storage and the archive."""
