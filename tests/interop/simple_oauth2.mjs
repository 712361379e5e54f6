// The flows of simple-oauth2, with the endpoints that the test names. The package leaves PKCE and `state` to its caller.
import { createHash, randomBytes } from 'node:crypto'
import simple from 'simple-oauth2'
import { ask, options, report } from './messages.mjs'

const { host, ...paths } = options.endpoints
const config = {
  client: { id: options.clientId, secret: options.clientSecret },
  auth: { tokenHost: host, authorizeHost: options.authorizeHost, ...paths },
  options: { authorizationMethod: options.method },
  http: options.json ? { json: options.json } : {},
}
const { scope, redirectUri: redirect_uri } = options
const random = () => randomBytes(32).toString('base64url')

const flows = {
  async code() {
    const grant = new simple.AuthorizationCode(config)
    const code_verifier = random()
    const state = random()
    const url = grant.authorizeURL({
      redirect_uri,
      scope: scope.split(' '),
      state,
      code_challenge: createHash('sha256').update(code_verifier).digest('base64url'),
      code_challenge_method: 'S256',
    })
    const { callback } = await ask({ authorize: url })
    const response = new URL(callback).searchParams
    if (response.get('state') !== state) throw new Error('another state')
    const sent = options.wrongVerifier ? random() : code_verifier
    return grant.getToken({ code: response.get('code'), redirect_uri, code_verifier: sent })
  },

  clientCredentials() {
    const { authorizeHost: _, authorizePath: __, ...auth } = config.auth
    return new simple.ClientCredentials({ ...config, auth }).getToken({ scope })
  },
}

await report(
  async () => {
    const token = await flows[options.flow]()
    if (!token.token.refresh_token) return { token }
    const refreshed = await token.refresh()
    const revoked =
      options.revoke &&
      (await refreshed
        .revoke('refresh_token')
        .then(() => refreshed.refresh())
        .catch(read))
    return { token, expired: token.expired(), refreshed, revoked }
  },
  read,
)

// The package raises the error of its HTTP client.
function read(error) {
  if (error.isBoom) return { failed: error.data?.payload?.error ?? error.message, status: error.output.statusCode }
}
