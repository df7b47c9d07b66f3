"""The origin's side of the proxy: attempts, pool, resolver, balancing, agent."""
