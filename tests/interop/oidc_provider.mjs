// An independent OpenID provider, `oidc-provider`, on loopback. Commands of the test are lines of JSON on stdin; each
// gets one line in reply. The package implements all endpoints; this script adds the accounts, and approves and denies
// as the pages of an operator would.
import { createInterface } from 'node:readline'
import { createServer } from 'node:http'
import { generateKeyPairSync } from 'node:crypto'
import Provider from 'oidc-provider'

const options = JSON.parse(process.argv[2])
console.info = console.error // stdout has only the replies

const jwk = (type, parameters, members) => ({
  ...generateKeyPairSync(type, parameters).privateKey.export({ format: 'jwk' }), use: 'sig', ...members,
})

const grantTypes = ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code']
const common = {
  redirect_uris: [options.redirectUri],
  response_types: ['code'],
  id_token_signed_response_alg: options.algorithm,
}

const publicClient = { ...common, token_endpoint_auth_method: 'none', application_type: 'native' }
const ada = { email: 'ada@example.com', given_name: 'Ada', family_name: 'Example', name: 'Ada Example' }

const configuration = {
  clients: [
    { ...publicClient, client_id: 'OQpublic', grant_types: grantTypes },
    { ...publicClient, client_id: 'OQbrowser', grant_types: ['authorization_code'] },
    {
      ...common,
      client_id: 'OQsecret',
      client_secret: 'right',
      token_endpoint_auth_method: 'client_secret_post',
      grant_types: [...grantTypes, 'client_credentials'],
    },
  ],
  jwks: { keys: [
    jwk('ec', { namedCurve: 'P-256' }, { kid: 'ec', alg: 'ES256' }),
    jwk('rsa', { modulusLength: 2048 }, { kid: 'rsa', alg: 'RS256' }),
  ] },
  scopes: ['openid', 'offline_access', 'email', 'profile'],
  claims: { openid: ['sub'], email: ['email'], profile: ['given_name', 'family_name', 'name'] },
  conformIdTokenClaims: false,
  features: {
    devInteractions: { enabled: false },
    deviceFlow: { enabled: true },
    clientCredentials: { enabled: true },
    revocation: { enabled: true },
  },
  clientAuthMethods: ['none', 'client_secret_post'],
  ttl: {
    DeviceCode: 300,
    AuthorizationCode: 60,
    AccessToken: 3600,
    ClientCredentials: 600,
    IdToken: 3600,
    RefreshToken: 86400,
    Grant: 86400,
    Interaction: 600,
    Session: 600,
  },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...ada }) }),
  cookies: { keys: ['a key for tests'] },
}

const account = 'US' + '1f'.repeat(16)
const server = createServer()
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
const issuer = `http://127.0.0.1:${server.address().port}`
const provider = new Provider(issuer, configuration)
const callback = provider.callback()
const errors = []
provider.on('server_error', (_, error) => errors.push(String(error.stack)))

async function grantFor(clientId, scope) {
  const grant = new provider.Grant({ accountId: account, clientId })
  grant.addOIDCScope(scope)
  return grant.save()
}

// The page on which a user signs in and agrees, without a page: the scopes are granted at once.
server.on('request', async (request, response) => {
  if (!request.url.startsWith('/interaction/')) return callback(request, response)
  const { params } = await provider.interactionDetails(request, response)
  const result = options.deny
    ? { error: 'access_denied', error_description: 'The user denied.' }
    : { login: { accountId: account }, consent: { grantId: await grantFor(params.client_id, params.scope) } }
  return provider.interactionFinished(request, response, result)
})

const findCode = (userCode) => provider.DeviceCode.findByUserCode(userCode.replace(/\W/g, ''))

const commands = {
  async decide({ userCode, approve }) {
    const code = await findCode(userCode)
    const scope = code.params.scope
    if (approve) {
      const authTime = Math.floor(Date.now() / 1000)
      Object.assign(code, { accountId: account, grantId: await grantFor(code.clientId, scope), scope, authTime })
    } else {
      Object.assign(code, { error: 'access_denied', errorDescription: 'The user denied.' })
    }
    await code.save()
    return {}
  },
  async expire({ userCode }) {
    const code = await findCode(userCode)
    code.exp = Math.floor(Date.now() / 1000) - 1
    await code.save(60) // the store in memory would drop it at its end, and the server would not know it any more
    return {}
  },
  async errors() {
    return { errors }
  },
}

console.log(JSON.stringify({ issuer, account }))
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line)
  console.log(JSON.stringify(await commands[command.name](command)))
}
process.exit(0)
