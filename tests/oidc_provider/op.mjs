// A certified OpenID Connect provider for the tests: `node op.mjs PORT`, on 127.0.0.1 only, everything in memory.
//
// It issues `at+jwt` access tokens by resource indicator, signed as the resource's name says
// (`urn:kheops:RS256`, `urn:kheops:ES256`, `urn:kheops:PS256`), and opaque ones without. Its login page takes any
// password: passwords are proved with the other provider of the tests.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import Provider from 'oidc-provider';

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const redirect = 'http://127.0.0.1:9/callback';

const people = {
  alice: { email: 'alice@hospital.example', email_verified: true, name: 'Alice Adams', groups: ['radiology'] },
  bob: { email: 'bob@hospital.example', email_verified: false, name: 'Bob Brown', groups: ['research'] },
};

// Named anew at each start, so that a restart is a rotation.
function key(alg, type, options) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), alg, use: 'sig' };
}

const shared = {
  redirect_uris: [redirect],
  post_logout_redirect_uris: ['http://127.0.0.1:9/'],
  grant_types: ['authorization_code'],
  response_types: ['code'],
};

const provider = new Provider(issuer, {
  clients: [
    { ...shared, client_id: 'kheops-web', token_endpoint_auth_method: 'none' },
    { ...shared, client_id: 'kheops-server', client_secret: 'a server: 100% s3cret' },
  ],
  jwks: {
    keys: [
      key('RS256', 'rsa', { modulusLength: 2048 }),
      key('PS256', 'rsa', { modulusLength: 2048 }),
      key('ES256', 'ec', { namedCurve: 'P-256' }),
    ],
  },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'groups'] },
  scopes: ['openid', 'dicom'],
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256'] },
  pkce: { required: () => true },
  cookies: { keys: ['for tests only'] },
  findAccount: (context, id) => (id in people ? { accountId: id, claims: () => ({ sub: id, ...people[id] }) } : undefined),
  extraTokenClaims: (context, token) => {
    const { email, email_verified: verified, name, groups } = people[token.accountId] ?? {};
    return { email, email_verified: verified, name, groups };
  },
  features: {
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      getResourceServerInfo: (context, resource) => ({
        scope: 'dicom',
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 300,
        jwt: { sign: { alg: resource.split(':').at(-1) } },
      }),
    },
  },
});

provider.on('server_error', (context, error) => console.error(error));
provider.listen(port, '127.0.0.1', () => console.log('listening'));
