"""Who is it? ClientHello, certificates, trust stores, policies, verification, and the transport that carries it all."""
