// The client credentials grant of oauth4webapi, with the v2 API as its metadata describes it (RFC 8414).
import * as oauth from 'oauth4webapi'
import { authentication, client, discover, options, http, reportResult } from './conversation.mjs'

await reportResult(async () => {
  const as = await discover()
  const response = await oauth.clientCredentialsGrantRequest(
    as,
    client,
    authentication,
    new URLSearchParams({ scope: options.scope }),
    http,
  )
  return { as, token: await oauth.processClientCredentialsResponse(as, client, response) }
})
