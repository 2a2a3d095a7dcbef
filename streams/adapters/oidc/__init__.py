"""OpenID Connect: people who sign in at a provider of their company."""
