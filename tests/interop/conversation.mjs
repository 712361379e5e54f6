// How a foreign client talks with the test that started it: one JSON value a line, each answered by one.
// Its time is the test's as well, so that nothing waits for real.
import { createInterface } from 'node:readline'
import * as oauth from 'oauth4webapi'

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

export async function ask(question) {
  process.stdout.write(JSON.stringify(question) + '\n')
  const { value, done } = await answers.next()
  if (done) throw new Error('the test has gone')
  return JSON.parse(value)
}

export const given = JSON.parse(process.argv[2])
export const http = { [oauth.allowInsecureRequests]: true } // on loopback

// What the client is, and how it proves itself.
export const client = { client_id: given.clientId, id_token_signed_response_alg: given.algorithm }
export const authentication = given.clientSecret ? oauth.ClientSecretPost(given.clientSecret) : oauth.None()

export async function discover() {
  // Not oauth.discoveryRequest: it goes to the issuer's own host, which is not on loopback.
  const response = await fetch(given.discovery)
  return oauth.processDiscoveryResponse(new URL(given.issuer), response)
}

// Runs `flow` and tells how it ended: with what it returns, or with the OAuth error that it met.
export async function tellOutcome(flow) {
  try {
    await ask({ done: await flow() })
  } catch (error) {
    if (!(error instanceof oauth.ResponseBodyError || error instanceof oauth.AuthorizationResponseError)) throw error
    await ask({ failed: error.error, status: error.status })
  }
  process.exit(0)
}
