// The signed wrapper of gossip, written from docs/protocol.md and not from the Python.
import { decode, encode } from '@msgpack/msgpack'
import { publicKeyFromRaw } from '@libp2p/crypto/keys'

const VERSION = 1
const LIFETIME_MS = 60_000n
const HEAD_BYTES = 1 + 32 + 8 + 8 + 16
const SIGNATURE_BYTES = 64

const utf8 = (text) => new TextEncoder().encode(text)

function big (number, bytes) {
  const out = new Uint8Array(bytes)
  for (let at = bytes - 1, left = BigInt(number); at >= 0; at--, left >>= 8n) out[at] = Number(left & 255n)
  return out
}

const prefixed = (field) => join([big(field.length, 4), field])

function join (parts) {
  const out = new Uint8Array(parts.reduce((size, part) => size + part.length, 0))
  let at = 0
  for (const part of parts) { out.set(part, at); at += part.length }
  return out
}

function statement (chain, topic, fields) {
  return join([prefixed(utf8('tmnode/envelope')), big(VERSION, 2), prefixed(utf8(chain)),
    prefixed(utf8(topic)), ...fields.map(prefixed)])
}

/** The envelope of a body, signed by `key`, an Ed25519 private key. */
export async function seal (key, chain, topic, body) {
  const now = BigInt(Date.now())
  const nonce = crypto.getRandomValues(new Uint8Array(16))
  const fields = [key.publicKey.raw, big(now, 8), big(now + LIFETIME_MS, 8), nonce, body]
  return join([big(VERSION, 1), ...fields, await key.sign(statement(chain, topic, fields))])
}

/** The signer's raw public key and the body, or null if the signature is not good. */
export async function open (data, chain, topic) {
  const cut = (from, to) => data.subarray(from, to)
  const body = cut(HEAD_BYTES, data.length - SIGNATURE_BYTES)
  const fields = [cut(1, 33), cut(33, 41), cut(41, 49), cut(49, 65), body]
  const signature = cut(data.length - SIGNATURE_BYTES)
  const good = await publicKeyFromRaw(fields[0]).verify(statement(chain, topic, fields), signature)
  return data[0] === VERSION && good ? { signer: fields[0], body } : null
}

/** A message: type id, version, fields as a msgpack array. */
export function message (type, version, fields) {
  return join([big(type, 2), big(version, 1), encode(fields)])
}

export function fieldsOf (body) {
  return decode(body.subarray(3))
}
