// The flows of openid-client, which discovers the server itself, at the issuer's URL. The test says on which server of
// loopback that URL is served (`origin`).
import * as client from 'openid-client'
import { ask, options, report } from './messages.mjs'

const issuer = new URL(options.issuer)
const methods = {
  client_secret_basic: client.ClientSecretBasic,
  client_secret_post: client.ClientSecretPost,
  none: client.None,
}

// The package waits with setTimeout, in steps of 5 s. These waits go to the test; shorter timers are those of fetch.
const setRealTimeout = globalThis.setTimeout
globalThis.setTimeout = (callback, milliseconds, ...rest) =>
  milliseconds === 5000
    ? ask({ wait: milliseconds / 1000 }).then(() => callback(...rest))
    : setRealTimeout(callback, milliseconds, ...rest)

function onLoopback(url, request) {
  const { origin, pathname, search } = new URL(url)
  return fetch(origin === issuer.origin ? options.origin + pathname + search : url, request)
}

async function discover() {
  const config = await client.discovery(
    issuer,
    options.clientId,
    { id_token_signed_response_alg: options.algorithm },
    methods[options.method](options.clientSecret),
    {
      algorithm: options.metadata,
      execute: [client.allowInsecureRequests, ...(options.metadata ? [] : [client.enableNonRepudiationChecks])],
      [client.customFetch]: onLoopback,
    },
  )
  config[client.customFetch] = onLoopback
  return config
}

const flows = {
  async device(config) {
    const code = await client.initiateDeviceAuthorization(config, { scope: options.scope })
    await ask({ code })
    return client.pollDeviceAuthorizationGrant(config, code)
  },

  async code(config) {
    const pkceCodeVerifier = client.randomPKCECodeVerifier()
    const expectedState = client.randomState()
    const expectedNonce = options.metadata ? undefined : client.randomNonce()
    const url = client.buildAuthorizationUrl(config, {
      redirect_uri: options.redirectUri,
      scope: options.scope,
      code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
      code_challenge_method: 'S256',
      state: expectedState,
      ...(expectedNonce && { nonce: expectedNonce }),
    })
    const { callback } = await ask({ authorize: url.href })
    const checks = { pkceCodeVerifier, expectedState, expectedNonce }
    return client.authorizationCodeGrant(config, new URL(callback), checks)
  },

  clientCredentials: (config) => client.clientCredentialsGrant(config, { scope: options.scope }),
}

// Uses the token of a user in each way that the server has: user information, refresh, revocation.
async function use(config, token) {
  const endpoints = config.serverMetadata()
  const claims = token.claims()
  const user = endpoints.userinfo_endpoint && (await client.fetchUserInfo(config, token.access_token, claims.sub))
  const refreshed = await client.refreshTokenGrant(config, token.refresh_token)
  if (endpoints.revocation_endpoint) await client.tokenRevocation(config, refreshed.refresh_token)
  const again = await client.refreshTokenGrant(config, refreshed.refresh_token).then(
    () => 'refreshed',
    (error) => error.error,
  )
  return { claims, user, refreshed, again }
}

await report(
  async () => {
    const config = await discover()
    const token = await flows[options.flow](config)
    return { token, ...(token.refresh_token && (await use(config, token))) }
  },
  (error) => {
    if (error instanceof client.ResponseBodyError || error instanceof client.AuthorizationResponseError)
      return { failed: error.error, status: error.status }
    if (error instanceof client.WWWAuthenticateChallengeError)
      return { failed: error.cause[0].parameters.realm, status: error.status }
  },
)
