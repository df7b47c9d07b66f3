"""Who is it? ClientHello, certificates, trust stores, TLS policies, verification, revocation."""
