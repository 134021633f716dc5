// An authorization server for tests: oidc-provider over TLS, set up by one argument
// in JSON:
//
//   host, port    where it listens
//   key, cert     its own, in PEM
//   ca            whose client certificates it takes, in PEM
//   clients       as RFC 7591 has them
//   lifetime      of access tokens, in seconds
//
// Beside the standard endpoints, /mint?client_id=… gives a refresh token to a client,
// as if a user had consented.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:https';

import { Provider } from 'oidc-provider';

const cfg = JSON.parse(process.argv[2]);
const issuer = `https://${cfg.host}:${cfg.port}`;
const jwk = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
const peer = (ctx) => ctx.req.socket.getPeerCertificate();

const provider = new Provider(issuer, {
  clients: cfg.clients,
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'tls_client_auth', 'none'],
  scopes: ['openid', 'offline_access', 'read', 'write'],
  jwks: { keys: [{ ...jwk, alg: 'RS256', use: 'sig' }] },
  cookies: { keys: ['only for tests'] },
  ttl: { ClientCredentials: cfg.lifetime, AccessToken: cfg.lifetime, Grant: 3600, IdToken: 60, RefreshToken: 3600 },
  rotateRefreshToken: true,
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true, allowedPolicy: () => true },
    mTLS: {
      enabled: true,
      tlsClientAuth: true,
      getCertificate: (ctx) => (peer(ctx)?.raw ? peer(ctx).raw.toString('base64') : undefined),
      certificateAuthorized: (ctx) => ctx.req.socket.authorized,
      certificateSubjectMatches: (ctx, property, expected) => property === 'tls_client_auth_subject_dn' && `CN=${peer(ctx).subject.CN}` === expected,
    },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => ({ audience: resource, scope: 'read write', accessTokenFormat: 'opaque' }),
    },
  },
});

provider.use(async (ctx, next) => {
  if (ctx.path !== '/mint') return next();
  const clientId = ctx.query.client_id;
  const grant = new provider.Grant({ accountId: 'user', clientId });
  grant.addOIDCScope('openid offline_access');
  const token = new provider.RefreshToken({
    accountId: 'user', client: await provider.Client.find(clientId), grantId: await grant.save(), gty: 'authorization_code', scope: 'openid offline_access',
  });
  ctx.body = await token.save();
});

createServer({ key: cfg.key, cert: cfg.cert, ca: cfg.ca, requestCert: true, rejectUnauthorized: false }, provider.callback()).listen(cfg.port, cfg.host);
