// The flows of @badgateway/oauth2-client. It discovers the endpoints (RFC 8414), and has PKCE and no device grant.
import { OAuth2Client, OAuth2HttpError, OAuth2Error, generateCodeVerifier } from '@badgateway/oauth2-client'
import { randomBytes } from 'node:crypto'
import { ask, options, report } from './messages.mjs'

const client = new OAuth2Client({
  server: options.server,
  discoveryEndpoint: options.discovery,
  clientId: options.clientId,
  clientSecret: options.clientSecret,
  authenticationMethod: options.method,
})
const { redirectUri } = options
const scope = options.scope.split(' ')

const flows = {
  async code() {
    const codeVerifier = await generateCodeVerifier()
    const state = randomBytes(16).toString('base64url')
    const url = await client.authorizationCode.getAuthorizeUri({ redirectUri, scope, state, codeVerifier })
    const { callback } = await ask({ authorize: url })
    const sent = options.wrongVerifier ? await generateCodeVerifier() : codeVerifier
    return client.authorizationCode.getTokenFromCodeRedirect(callback, { redirectUri, state, codeVerifier: sent })
  },

  clientCredentials: () => client.clientCredentials({ scope }),
}

await report(
  async () => {
    const token = await flows[options.flow]()
    const { authenticationMethod: method } = client.settings // as discovered
    if (!token.refreshToken) return { token, method }
    const refreshed = await client.refreshToken(token)
    if (options.revoke) await client.revoke(refreshed, 'refresh_token')
    const again = await client.refreshToken(refreshed).then(() => 'refreshed', (error) => error.oauth2Code)
    return { token, method, refreshed, again }
  },
  (error) => {
    if (error instanceof OAuth2HttpError) return { failed: error.oauth2Code, status: error.httpCode }
    if (error instanceof OAuth2Error) return { failed: error.oauth2Code }
  },
)
