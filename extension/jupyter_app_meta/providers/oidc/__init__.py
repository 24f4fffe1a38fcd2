"""OpenID Connect: visitors log in at a provider such as Keycloak, by the code flow with PKCE."""
