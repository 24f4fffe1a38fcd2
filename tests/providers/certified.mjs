// Runs the OpenID provider of the npm package "oidc-provider": node certified.mjs LIBRARY ISSUER SETTINGS
// It believes every name, and gives each user the claims of the settings.
import { pathToFileURL } from "node:url";

const [library, issuer, settings] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(library));
const { client, claims } = JSON.parse(settings);
const provider = new Provider(issuer, {
  clients: [client],
  claims: { openid: ["sub"], profile: ["name", "preferred_username"], groups: ["groups"] },
  findAccount: (context, sub) => ({ accountId: sub, claims: () => ({ ...claims, sub }) }),
});
provider.listen(Number(new URL(issuer).port), "127.0.0.1");
