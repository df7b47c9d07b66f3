"""JSON Web Tokens (RFC 7519): who a client is, as an issuer that the node trusts says of it."""
