// RFC 8628 with oauth4webapi: request a code, poll, check the ID token, use the token, refresh it, revoke it.
import * as oauth from 'oauth4webapi'
import { ask, authentication, client, discover, options, http, reportResult } from './conversation.mjs'

async function poll(as, { device_code, interval = 5 }) {
  for (;;) {
    await ask({ wait: interval })
    const response = await oauth.deviceCodeGrantRequest(as, client, authentication, device_code, http)
    try {
      const token = await oauth.processDeviceCodeResponse(as, client, response)
      await oauth.validateApplicationLevelSignature(as, response, http)
      return token
    } catch (error) {
      if (!(error instanceof oauth.ResponseBodyError)) throw error
      if (error.error === 'slow_down') interval += 5
      else if (error.error !== 'authorization_pending') throw error
    }
  }
}

// RFC 7009: revokes the refresh token, and returns the error of its next use.
async function revoke(as, token) {
  await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, authentication, token, http))
  const response = await oauth.refreshTokenGrantRequest(as, client, authentication, token, http)
  return oauth.processRefreshTokenResponse(as, client, response).then(
    () => undefined,
    (error) => error.error,
  )
}

await reportResult(async () => {
  const as = await discover()
  const code = await oauth.processDeviceAuthorizationResponse(
    as,
    client,
    await oauth.deviceAuthorizationRequest(as, client, authentication, { scope: options.scope }, http),
  )
  await ask({ code })
  const token = await poll(as, code)
  const claims = oauth.getValidatedIdTokenClaims(token)

  const user = await oauth.processUserInfoResponse(
    as,
    client,
    claims.sub,
    await oauth.userInfoRequest(as, client, token.access_token, http),
  )

  const response = await oauth.refreshTokenGrantRequest(as, client, authentication, token.refresh_token, http)
  const refreshed = await oauth.processRefreshTokenResponse(as, client, response)
  await oauth.validateApplicationLevelSignature(as, response, http)
  const revoked = options.revoke && (await revoke(as, refreshed.refresh_token))
  return { token, claims, user, refreshed, refreshedClaims: oauth.getValidatedIdTokenClaims(refreshed), revoked }
})
