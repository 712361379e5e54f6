// Messages between the script and the test that started it: one line of JSON, then one line in reply.
// The script also waits on the clock of the test, so that it does not wait in real time.
import { createInterface } from 'node:readline'
import * as oauth from 'oauth4webapi'

const replies = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

export async function ask(message) {
  process.stdout.write(JSON.stringify(message) + '\n')
  const { value, done } = await replies.next()
  if (done) throw new Error('the test has ended')
  return JSON.parse(value)
}

export const options = JSON.parse(process.argv[2])
export const http = { [oauth.allowInsecureRequests]: true } // on loopback

// The client and its authentication.
export const client = { client_id: options.clientId, id_token_signed_response_alg: options.algorithm }
export const authentication = options.clientSecret ? oauth.ClientSecretPost(options.clientSecret) : oauth.None()

export async function discover() {
  // Not oauth.discoveryRequest: it would send the request to the issuer's host, which is not on loopback.
  const response = await fetch(options.discovery)
  return oauth.processDiscoveryResponse(new URL(options.issuer), response)
}

// Runs `flow` and reports its result, or the OAuth error that it raised.
export async function reportResult(flow) {
  try {
    await ask({ done: await flow() })
  } catch (error) {
    if (!(error instanceof oauth.ResponseBodyError || error instanceof oauth.AuthorizationResponseError)) throw error
    await ask({ failed: error.error, status: error.status })
  }
  process.exit(0)
}
