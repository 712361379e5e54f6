// What the scripts with oauth4webapi have in common: the client, its authentication, and discovery.
import * as oauth from 'oauth4webapi'
import { ask, options, report } from './messages.mjs'

export { ask, options }

export const http = { [oauth.allowInsecureRequests]: true } // on loopback

// The client and its authentication.
const methods = { client_secret_basic: oauth.ClientSecretBasic, client_secret_post: oauth.ClientSecretPost }
export const client = { client_id: options.clientId, id_token_signed_response_alg: options.algorithm }
export const authentication = options.clientSecret
  ? methods[options.method ?? 'client_secret_post'](options.clientSecret)
  : oauth.None()

export async function discover() {
  // Not oauth.discoveryRequest: it would send the request to the issuer's host, which is not on loopback.
  const response = await fetch(options.discovery)
  return oauth.processDiscoveryResponse(new URL(options.issuer), response)
}

// Runs `flow` and reports its result, or the OAuth error that it raised.
export const reportResult = (flow) =>
  report(flow, (error) => {
    if (error instanceof oauth.ResponseBodyError || error instanceof oauth.AuthorizationResponseError)
      return { failed: error.error, status: error.status }
  })
