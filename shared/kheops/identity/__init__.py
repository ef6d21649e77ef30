"""Who calls: trusted issuers and their keys, access tokens, our own tokens, and login in the browser."""
