// The authorization code grant with PKCE of oauth4webapi, with the v2 API, which uses the names of the RFCs.
import * as oauth from 'oauth4webapi'
import { ask, authentication, client, discover, options, http, reportResult } from './conversation.mjs'

await reportResult(async () => {
  const as = { ...(await discover()), ...options.endpoints, authorization_response_iss_parameter_supported: true }
  const verifier = oauth.generateRandomCodeVerifier()
  const state = oauth.generateRandomState()
  const nonce = oauth.generateRandomNonce()

  const url = new URL(as.authorization_endpoint)
  url.search = new URLSearchParams({
    response_type: 'code',
    client_id: client.client_id,
    redirect_uri: options.redirectUri,
    scope: options.scope,
    state,
    nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  })
  const { callback } = await ask({ authorize: url.href })
  const parameters = oauth.validateAuthResponse(as, client, new URL(callback), state)

  const sent = options.wrongVerifier ? oauth.generateRandomCodeVerifier() : verifier
  const response = await oauth.authorizationCodeGrantRequest(
    as,
    client,
    authentication,
    parameters,
    options.redirectUri,
    sent,
    http,
  )
  const token = await oauth.processAuthorizationCodeResponse(as, client, response, {
    expectedNonce: nonce,
    requireIdToken: true,
  })
  await oauth.validateApplicationLevelSignature(as, response, http)

  const again = await oauth.refreshTokenGrantRequest(as, client, authentication, token.refresh_token, http)
  const refreshed = await oauth.processRefreshTokenResponse(as, client, again)
  return { token, claims: oauth.getValidatedIdTokenClaims(token), refreshed }
})
