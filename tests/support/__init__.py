"""What tests share: certificates, clients, origins, nodes, generators."""
