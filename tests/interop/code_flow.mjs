// The authorization code grant with PKCE as oauth4webapi has it, against the v2 API, which has the RFCs' own names.
import * as oauth from 'oauth4webapi'
import { ask, authentication, client, discover, given, http, tellOutcome } from './conversation.mjs'

await tellOutcome(async () => {
  const as = { ...(await discover()), ...given.endpoints, authorization_response_iss_parameter_supported: true }
  const verifier = oauth.generateRandomCodeVerifier()
  const state = oauth.generateRandomState()
  const nonce = oauth.generateRandomNonce()

  const url = new URL(as.authorization_endpoint)
  url.search = new URLSearchParams({
    response_type: 'code',
    client_id: client.client_id,
    redirect_uri: given.redirectUri,
    scope: given.scope,
    state,
    nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  })
  const { callback } = await ask({ authorize: url.href })
  const parameters = oauth.validateAuthResponse(as, client, new URL(callback), state)

  const sent = given.wrongVerifier ? oauth.generateRandomCodeVerifier() : verifier
  const response = await oauth.authorizationCodeGrantRequest(
    as,
    client,
    authentication,
    parameters,
    given.redirectUri,
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
