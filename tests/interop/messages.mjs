// Messages between a script and the test that started it: one line of JSON, then one line in reply.
// The script also waits on the clock of the test, so that it does not wait in real time.
import { createInterface } from 'node:readline'

const replies = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

export async function ask(message) {
  process.stdout.write(JSON.stringify(message) + '\n')
  const { value, done } = await replies.next()
  if (done) throw new Error('the test has ended')
  return JSON.parse(value)
}

export const options = JSON.parse(process.argv[2])

// Runs `flow` and reports its result, or the OAuth error that it raised: `read` returns its code and status, or
// undefined for any other error.
export async function report(flow, read) {
  try {
    await ask({ done: await flow() })
  } catch (error) {
    const failed = read(error)
    if (failed === undefined) throw error
    await ask(failed)
  }
  process.exit(0)
}
