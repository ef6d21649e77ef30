"""Who calls: verification of tokens, keys of issuers, own tokens, sessions."""
